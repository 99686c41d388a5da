//! `ctl services`: a table of the services.

use super::backends::success;
use super::session::Session;
use super::table::{Column, Table};
use super::{Error, json};
use crate::cli::text::or_dash;
use crate::control::proto::ServiceSummary;

const COLUMNS: [Column; 8] = [
    Column::left("SERVICE", 0),
    Column::left("POLICY", 3),
    Column::right("REVISION", 2),
    Column::right("BACKENDS", 1),
    Column::right("ELIGIBLE", 1),
    Column::right("DRAINING", 4),
    Column::right("SUCCESS", 1),
    Column::right("OVERRIDES", 1),
];

pub(super) async fn run(session: &mut Session<'_>) -> Result<(), Error> {
    let services = session.client.list().await?;
    session.print(|width| text(&services, width), || json::services(&services))
}

fn text(services: &[ServiceSummary], width: usize) -> String {
    if services.is_empty() {
        return "The gateway has no services.\n".into();
    }
    let mut table = Table::new(COLUMNS);
    for s in services {
        table.row([
            s.name.clone(),
            s.policy.clone(),
            s.revision.to_string(),
            s.backends.to_string(),
            s.eligible_backends.to_string(),
            s.draining_backends.to_string(),
            or_dash(s.success_ratio, success),
            s.overrides.to_string(),
        ]);
    }
    table.fit(width)
}
