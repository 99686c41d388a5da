//! `ctl token new`: makes a token, and the line of the token file that lets it in. No gateway is asked.

use std::io::Write;
use std::time::Duration;

use clap::Subcommand;
use prost_types::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use super::{Error, Output, json};
use crate::access::{Glob, Grant, Role, Scope, digest, mint, token_name};
use crate::clock;
use crate::text::{SecretText, units};

/// How long a token lasts unless something else is said.
const USUAL: &str = "90d";
const NEVER: &str = "never";
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token: it is shown this once, and the gateway keeps its digest alone
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    /// Whose it is, as log and history are to name them
    #[arg(value_parser = name)]
    name: String,
    /// What it allows: read, operate or admin
    #[arg(long, value_parser = Role::parse)]
    role: Role,
    /// The services it is for, such as 'orders*,carts' [default: all]
    #[arg(long, value_delimiter = ',', value_parser = Glob::parse)]
    services: Vec<Glob>,
    /// How long it holds: 30d, 12h, or `never`
    #[arg(long, value_name = "TIME", default_value = USUAL, value_parser = expiry)]
    expires: Expiry,
}

/// How long a token holds; `None` for ever.
#[derive(Clone, Copy, Debug)]
struct Expiry(Option<Duration>);

fn name(text: &str) -> Result<String, String> {
    token_name(text).map(|()| text.to_owned())
}

fn expiry(text: &str) -> Result<Expiry, String> {
    let days = || text.strip_suffix('d')?.parse::<u32>().ok().map(|days| DAY * days);
    match text {
        NEVER => Ok(Expiry(None)),
        text => match days() {
            Some(time) => Ok(Expiry(Some(time))),
            None => units::parse_duration(text)
                .map(|time| Expiry(Some(time)))
                .map_err(|_| format!("`{text}` is no time: write 30d, 12h or never")),
        },
    }
}

impl Args {
    pub(super) fn run(self, output: Output, out: &mut dyn Write) -> Result<(), Error> {
        let Command::New(New { name, role, services, expires }) = self.command;
        let all = services.is_empty() || services.iter().any(|glob| glob.to_string() == "*");
        let scope = if all { Scope::All } else { Scope::Some(services.into()) };
        let random = SystemRandom::new();
        let token = mint(|bytes| random.fill(bytes)).map_err(|_| {
            Error::Credentials("the system gives no random bytes: no token is made".into())
        })?;
        let until = match expires.0 {
            None => NEVER.to_owned(),
            Some(time) => {
                let end = clock::wall().checked_add(time).map(Timestamp::from);
                let too_long = || Error::Credentials("--expires is too long: write never".into());
                Timestamp { nanos: 0, ..end.ok_or_else(too_long)? }.to_string()
            }
        };
        let line = format!("{name} {} {} {until}", Grant { role, scope }, digest(&token));
        let text = shown(output, &token, &line);
        out.write_all(text.reveal().as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
    }
}

fn shown(output: Output, token: &SecretText, line: &str) -> SecretText {
    #[derive(Serialize)]
    struct Made<'a> {
        token: &'a str,
        line: &'a str,
    }
    let token = token.reveal();
    SecretText::new(match output {
        Output::Json => json::line(serde_json::to_string(&Made { token, line })),
        Output::Table => format!(
            "The token, which is shown this once; keep it in a file that only its holder can read:\n\n  \
             {token}\n\nThe line for the file that `tokens` of `control` names:\n\n  {line}\n"
        ),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::access::Tokens;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn run(line: &str) -> Result<String, String> {
        let words = ["token"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        cli.args.run(Output::Json, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_token_fits_its_line_and_no_two_are_alike() {
        let made = || {
            let made = run("new ci --role operate --services orders*,carts --expires 1d").unwrap();
            let made: serde_json::Value = serde_json::from_str(&made).unwrap();
            let text = |key: &str| made[key].as_str().unwrap().to_owned();
            (text("token"), text("line"))
        };
        let ((token, line), (other, _)) = (made(), made());
        assert_ne!(token, other);
        let tokens = Tokens::parse(&line).unwrap();
        let found = tokens.find(&token).unwrap();
        assert_eq!((&*found.name, &*found.grants.to_string()), ("ci", "operate:orders*,carts"));
        let now = clock::wall();
        assert!(!found.has_expired(now) && found.has_expired(now + DAY));
        assert!(run("new ci --role admin --expires never").unwrap().contains(" never\""));
        for (wrong, says) in [
            ("new c/i --role read", "no name of a token"),
            ("new ci --role root", "write read, operate or admin"),
            ("new ci --role read --expires soon", "write 30d, 12h or never"),
            ("new ci", "--role"),
        ] {
            let told = run(wrong).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }
}
