//! Keys of the control API.

use super::SERVER_TLS;
use super::listener::socket_mode;
use super::texts::{CONTROL_ADDRESS, CONTROL_SOCKET, NAME_PATTERN, TOKEN_FILE};
use crate::access::{Glob, Role};
use crate::config::control::{address, control_socket, show_address, show_socket};
use crate::config::plan::ControlSocket;
use crate::config::read;
use crate::model::SocketAddress;
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Shape, Short, Word, section, text, word,
};

section! {
    /// The control API.
    pub static CONTROL: Control = "control", short Short::Key("address");

    [restart] socket: Key<ControlSocket> = text(&CONTROL_SOCKET, control_socket, show_socket),
        Absent::Words("[by the port](control.md#the-socket)"),
        "the path of its Unix socket, or `off`; who comes by it may do everything, and is the user that \
         the gateway runs as, or root";
    [restart] mode: Key<u32> = socket_mode(), Absent::Words("0600"),
        "who else may connect to the socket, as for `chmod`: `0660` for a group";
    [restart] address: Key<Option<SocketAddress>> = text(&CONTROL_ADDRESS, address, show_address),
        Absent::value("127.0.0.1:9900"),
        "where it listens over TCP, or `off`. An IP address other than loopback needs `tls`, with \
         `client_ca` or `tokens`. `unix:` and a path is the same as `off` with that `socket`";
    tls: Part = Shape::Mapping(&SERVER_TLS), Absent::Nothing,
        "TLS over TCP, of HTTP/2 alone; with `client_ca` callers are who their certificate says";
    tokens: Key<String> = text(&TOKEN_FILE, read::text, Clone::clone), Absent::Nothing,
        "the file of [tokens](control.md#tokens): a line for each";
    roles: Part = Shape::Mappings(&CONTROL_ROLE, Many::Any), Absent::Nothing,
        "who may do what; [whoever is not named](control.md#roles) may do nothing";
}

const fn pattern() -> Form<Glob> {
    text(&NAME_PATTERN, Glob::parse, ToString::to_string)
}

impl Word for Role {
    const WORDS: &'static [(&'static str, Role)] =
        &[("read", Role::Read), ("operate", Role::Operate), ("admin", Role::Admin)];
}

section! {
    /// A role of some callers.
    pub static CONTROL_ROLE: ControlRole = "control.roles[]";

    who: Key<Glob> = pattern(), Absent::Required("add `who: spiffe://prod/ns/ops/*`"),
        "the identities, as `ctl whoami` tells them: a SPIFFE ID, `dns:` and a name of a certificate, \
         or `token:` and a name; `*` stands for any characters";
    role: Key<Role> = word(), Absent::Required("add `role: read`"),
        "`read`: see; `operate`: move traffic too; `admin`: everything";
    services: List<Glob> = pattern(), Many::Any, Absent::Words("all"),
        "the services it holds for, such as `orders*`";
}
