//! `--dry-run`: what a change would do, for each backend or service.

use serde::Serialize;

use super::overrides::until;
use super::session::Session;
use super::table::{Column, Table, wrap};
use super::{Error, json, state_name};
use crate::control::proto::{BackendState, Preview, PreviewedShare, ShareState};

/// Ranked so that what is to be seen is dropped last.
const COLUMNS: [Column; 5] = [
    Column::left("NAME", 0),
    Column::left("WEIGHT", 1),
    Column::left("SHARE", 2),
    Column::left("EXPECTED", 3),
    Column::left("STATE", 4),
];

/// What the change is about.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
}

/// Prints what would be; it is at this revision.
pub(super) fn print(
    session: &mut Session<'_>,
    named: Named<'_>,
    (revision, durable): (u64, bool),
    preview: &Preview,
) -> Result<(), Error> {
    session.print(
        |width| text(named, revision, preview, width),
        || programs(named, (revision, durable), preview),
    )
}

fn text(named: Named<'_>, revision: u64, preview: &Preview, width: usize) -> String {
    let what = match (named.service, named.route) {
        (_, Some(route)) => format!("the split of {route}"),
        (service, None) => service.unwrap_or_default().to_owned(),
    };
    let Preview { revision: next, until: end, warning, shares, .. } = preview;
    let title = format!(
        "dry run: nothing is changed, and {what} stays at revision {revision}; it would be {next}{}",
        until(end.as_ref())
    );
    let mut table = Table::new(COLUMNS);
    shares.iter().for_each(|share| table.row(row(share)));
    let warning = match &**warning {
        "" => String::new(),
        warning => wrap(&format!("warning: {warning}"), width, 2),
    };
    format!("{}{}{warning}", wrap(&title, width, 2), table.fit(width))
}

fn row(share: &PreviewedShare) -> [String; COLUMNS.len()] {
    let name = match share.resolved_address.rsplit_once(':') {
        Some((host, _)) => format!("{} at {host}", share.name),
        None => share.name.clone(),
    };
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    [
        name,
        both(share, weight),
        both(share, |it| percent(it.share)),
        both(share, |it| it.expected_share.map(percent).unwrap_or_default()),
        both(share, |it| match it.state() {
            BackendState::Unspecified => String::new(),
            state => state_name(state).to_owned(),
        }),
    ]
}

/// The weight, and what it is effectively.
fn weight(state: &ShareState) -> String {
    match (state.weight, state.effective_weight) {
        (weight, effective) if weight == effective => weight.to_string(),
        (weight, effective) => format!("{effective} (set {weight})"),
    }
}

/// Before and after, once if they are the same; `-` where it is not there.
fn both(share: &PreviewedShare, show: impl Fn(&ShareState) -> String) -> String {
    let show = |state: &Option<ShareState>| state.as_ref().map_or("-".to_owned(), &show);
    match (show(&share.before), show(&share.after)) {
        (before, after) if before == after => after,
        (before, after) => format!("{before} -> {after}"),
    }
}

fn programs(named: Named<'_>, (revision, durable): (u64, bool), preview: &Preview) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        named: Named<'a>,
        revision: u64,
        durable: bool,
        preview: Previewed<'a>,
    }
    #[derive(Serialize)]
    struct Previewed<'a> {
        revision: u64,
        old: &'a str,
        new: &'a str,
        until: Option<String>,
        warning: Option<&'a str>,
        shares: Vec<Share<'a>>,
    }
    #[derive(Serialize)]
    struct Share<'a> {
        name: &'a str,
        resolved_address: Option<&'a str>,
        before: Option<State<'a>>,
        after: Option<State<'a>>,
    }
    #[derive(Serialize)]
    struct State<'a> {
        weight: u32,
        effective_weight: u32,
        share: f64,
        expected_share: Option<f64>,
        state: Option<&'static str>,
        state_reason: Option<&'a str>,
    }
    fn given(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    fn state(it: &ShareState) -> State<'_> {
        let known = it.state() != BackendState::Unspecified;
        State {
            weight: it.weight,
            effective_weight: it.effective_weight,
            share: it.share,
            expected_share: it.expected_share,
            state: known.then(|| state_name(it.state())),
            state_reason: given(&it.state_reason),
        }
    }
    let shares = preview.shares.iter().map(|it| Share {
        name: &it.name,
        resolved_address: given(&it.resolved_address),
        before: it.before.as_ref().map(state),
        after: it.after.as_ref().map(state),
    });
    let previewed = Previewed {
        revision: preview.revision,
        old: &preview.old,
        new: &preview.new,
        until: preview.until.map(|until| until.to_string()),
        warning: given(&preview.warning),
        shares: shares.collect(),
    };
    json::pretty(&Shown { named, revision, durable, preview: previewed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_is_beside_what_is() {
        let state = |weight, share, state: BackendState| ShareState {
            weight,
            effective_weight: weight,
            share,
            expected_share: Some(share),
            state: state.into(),
            ..ShareState::default()
        };
        let share = |name: &str, before, after| PreviewedShare {
            name: name.into(),
            before,
            after,
            ..PreviewedShare::default()
        };
        let out = ShareState { effective_weight: 0, ..state(3, 0.0, BackendState::Draining) };
        let preview = Preview {
            revision: 8,
            shares: vec![
                share("a:1", Some(state(3, 0.75, BackendState::Ready)), Some(out)),
                share(
                    "b:1",
                    Some(state(1, 0.25, BackendState::Ready)),
                    Some(state(1, 1.0, BackendState::Ready)),
                ),
                share("c:1", Some(state(0, 0.0, BackendState::Idle)), None),
            ],
            warning: "panic".into(),
            ..Preview::default()
        };
        let named = Named { service: Some("orders"), route: None };
        let text = text(named, 7, &preview, 120);
        assert!(
            text.starts_with(
                "dry run: nothing is changed, and orders stays at revision 7; it would be 8\n"
            ),
            "{text}"
        );
        for part in [
            "3 -> 0 (set 3)",
            "75.0 % -> 0.0 %",
            "READY -> DRAINING",
            "IDLE -> -",
            "warning: panic",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&programs(named, (7, true), &preview)).unwrap();
        assert_eq!((&json["service"], &json["preview"]["revision"]), (&"orders".into(), &8.into()));
        assert_eq!(json["preview"]["shares"][2]["after"], serde_json::Value::Null);
    }
}
