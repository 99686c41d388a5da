//! `ctl whoami`: who one is for the gateway, and what one may do.

use serde::Serialize;

use super::session::Session;
use super::{Error, json};
use crate::control::proto::{GrantedRole, WhoAmIRequest, WhoAmIResponse};

pub(super) async fn run(session: &mut Session<'_>) -> Result<(), Error> {
    let mut api = session.client.api();
    let answer = session.client.wait(api.who_am_i(WhoAmIRequest {})).await?;
    session.print(|_| text(&answer), || programs(&answer))
}

fn text(WhoAmIResponse { identity, roles, .. }: &WhoAmIResponse) -> String {
    if roles.is_empty() {
        return format!("{identity}, who may do nothing\n");
    }
    let role = |GrantedRole { role, services }: &GrantedRole| match &**services {
        [all] if all == "*" => format!("  {role} for all services\n"),
        services => format!("  {role} for {}\n", services.join(", ")),
    };
    format!("{identity}, with the roles\n{}", roles.iter().map(role).collect::<String>())
}

fn programs(WhoAmIResponse { identity, roles, .. }: &WhoAmIResponse) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        identity: &'a str,
        roles: Vec<Granted<'a>>,
    }
    #[derive(Serialize)]
    struct Granted<'a> {
        role: &'a str,
        services: &'a [String],
    }
    let roles = roles.iter().map(|it| Granted { role: &it.role, services: &it.services });
    json::line(serde_json::to_string(&Shown { identity, roles: roles.collect() }))
}
