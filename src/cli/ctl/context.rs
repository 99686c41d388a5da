//! Contexts: gateways by name, with how they are reached and what proves who one is, in a file as
//! kubectl has. Flags go before what a context says.

mod file;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::credentials::Credentials;
use super::place::{Place, usual};
use super::{Error, Output, json};
use file::{Context, Contexts};

/// Where the control API is, and how one proves who one is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Where the control API is: unix:PATH, https://HOST:PORT, http://HOST:PORT [default: that of this
    /// machine]
    #[arg(long, global = true, value_name = "ADDR", env = "EQUIPOISE_CONTROL")]
    control: Option<String>,
    /// Which context to use [default: the current one, unless --control is given]
    #[arg(long, global = true, value_name = "NAME", env = "EQUIPOISE_CONTEXT")]
    context: Option<String>,
    /// A file with the token that says who one is
    #[arg(long, global = true, value_name = "FILE", env = "EQUIPOISE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The authority that the gateway's certificate is of, in PEM
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that says who one is, in PEM
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The name that the gateway's certificate is for [default: the host of --control]
    #[arg(long, global = true, value_name = "NAME")]
    server_name: Option<String>,
}

impl Connection {
    /// Where to connect to, and with what.
    ///
    /// # Errors
    /// There is no such context, or several gateways of this machine could be meant.
    pub fn resolve(self) -> Result<(String, Credentials), Error> {
        let (control, named) = (self.control.clone(), self.context.clone());
        let own = self.credentials();
        let context = match (&named, &control) {
            (Some(name), _) => Some(Contexts::read()?.get(name)?.clone()),
            (None, Some(_)) => None,
            (None, None) => Contexts::read()?.current()?.cloned(),
        };
        let Some(context) = context else {
            let control = control.map_or_else(usual, Ok)?;
            return Ok((control, own));
        };
        Ok((control.unwrap_or(context.control), own.or(context.credentials)))
    }

    fn credentials(self) -> Credentials {
        let Connection { token_file, ca, cert, key, server_name, .. } = self;
        Credentials { token_file, ca, cert, key, server_name }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the contexts; a star is before the current one
    List,
    /// Have this one be the current one
    Use {
        /// Its name
        name: String,
    },
    /// Keep what --control, --ca, --cert, --key, --server-name and --token-file say under a name
    Set {
        /// Its name
        name: String,
    },
    /// Forget one; the files that it names stay
    Delete {
        /// Its name
        name: String,
    },
}

impl Args {
    pub(super) fn run(
        self,
        connection: Connection,
        output: Output,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let mut contexts = Contexts::read()?;
        let told = match self.command {
            Command::List => list(&contexts, output),
            Command::Use { name } => {
                contexts.get(&name)?;
                contexts.current = Some(name.clone());
                contexts.write()?;
                done(output, &name, "is the current context")
            }
            Command::Set { name } => {
                let context = made(connection)?;
                contexts.put(&name, context)?;
                contexts.write()?;
                done(output, &name, "is set")
            }
            Command::Delete { name } => {
                contexts.remove(&name)?;
                contexts.write()?;
                done(output, &name, "is deleted")
            }
        };
        out.write_all(told.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
    }
}

/// The context that the flags describe, with absolute paths: it is used from other folders too.
fn made(connection: Connection) -> Result<Context, Error> {
    let control = connection.control.clone().ok_or_else(|| {
        Error::Credentials("where is the gateway? Give --control https://HOST:PORT".into())
    })?;
    Place::parse(&control)?;
    let credentials = connection.credentials();
    let absolute = |path: Option<PathBuf>| {
        let found = path.map(|path| std::path::absolute(&path).map_err(|error| (path, error)));
        found.transpose().map_err(|(path, error): (PathBuf, _)| unusable(&path, &error))
    };
    let credentials = Credentials {
        token_file: absolute(credentials.token_file)?,
        ca: absolute(credentials.ca)?,
        cert: absolute(credentials.cert)?,
        key: absolute(credentials.key)?,
        server_name: credentials.server_name,
    };
    Ok(Context { control, credentials })
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Credentials(format!("{}: {error}", path.display()))
}

fn done(output: Output, name: &str, what: &str) -> String {
    #[derive(Serialize)]
    struct Done<'a> {
        context: &'a str,
    }
    match output {
        Output::Table => format!("{name} {what}\n"),
        Output::Json => json::line(serde_json::to_string(&Done { context: name })),
    }
}

fn list(contexts: &Contexts, output: Output) -> String {
    #[derive(Serialize)]
    struct Listed<'a> {
        name: &'a str,
        current: bool,
        control: &'a str,
    }
    let is_current = |name: &str| contexts.current.as_deref() == Some(name);
    if output == Output::Json {
        let all = contexts.all.iter().map(|(name, context)| Listed {
            name,
            current: is_current(name),
            control: &context.control,
        });
        return json::line(serde_json::to_string(&all.collect::<Vec<_>>()));
    }
    if contexts.all.is_empty() {
        return "There is no context: `ctl context set NAME --control https://HOST:PORT` makes one\n".into();
    }
    let width = contexts.all.keys().map(String::len).max().unwrap_or_default();
    let line = |(name, context): (&String, &Context)| {
        let star = if is_current(name) { '*' } else { ' ' };
        format!("{star} {name:<width$}  {}\n", context.control)
    };
    contexts.all.iter().map(line).collect()
}
