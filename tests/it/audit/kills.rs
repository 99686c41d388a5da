//! kill -9 in the midst of changes: the audit and the journal tell the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use equipoise::control::proto;

use super::*;
use crate::support::gateway::Control;

/// The numbers of the changes that the journal has, with their revisions.
fn journal(site: &Site) -> BTreeMap<u64, u64> {
    let text = std::fs::read(site.folder.path().join("overrides.jsonl")).unwrap();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let changes = lines.filter(|line| line["kind"] == "change");
    changes.map(|it| (it["seq"].as_u64().unwrap(), it["revision"].as_u64().unwrap())).collect()
}

/// What an audit tells of each change.
#[derive(Debug, Default)]
struct Story {
    intents: BTreeMap<u64, u64>,
    made: BTreeSet<u64>,
    not_made: BTreeSet<u64>,
}

fn story(site: &Site) -> Story {
    let mut story = Story::default();
    for line in site.lines() {
        let Some(sequence) = line["sequence"].as_u64() else { continue };
        let fresh = match (line["event"].as_str().unwrap(), line["kept"].as_bool()) {
            ("intent", _) => {
                let revision = line["revision"].as_u64().unwrap();
                story.intents.insert(sequence, revision).is_none()
            }
            ("done", _) | ("recovered", Some(true)) => story.made.insert(sequence),
            ("failed", _) | ("recovered", Some(false)) => story.not_made.insert(sequence),
            other => panic!("{other:?}: {line}"),
        };
        assert!(fresh, "twice: {line}");
    }
    story
}

/// Changes weights over `lanes` connections until the gateway is gone; the revisions of the answers.
async fn change(gateway: &Process, lanes: u64) -> Vec<tokio::task::JoinHandle<Vec<u64>>> {
    let mut changing = Vec::new();
    for lane in 0..lanes {
        let mut control = Control::connect(gateway.control).await;
        changing.push(tokio::spawn(async move {
            let (mut rng, mut answered) = (fastrand::Rng::with_seed(lane), Vec::new());
            loop {
                let request = proto::SetWeightsRequest {
                    service: "echo".into(),
                    weights: [("a:1".to_owned(), rng.u32(1..1000))].into(),
                    ..Default::default()
                };
                match control.0.set_weights(request).await {
                    Ok(answer) => answered.push(answer.into_inner().revision),
                    Err(_) => return answered,
                }
            }
        }));
    }
    changing
}

#[tokio::test]
async fn the_audit_and_the_journal_tell_the_same_story_after_a_kill() {
    let site = Site::new(true);
    let mut rng = fastrand::Rng::with_seed(18);
    let (mut answered, mut recovered) = (BTreeSet::new(), 0);
    for life in 0.. {
        if life >= 20 && answered.len() > 50 && recovered > 0 {
            break;
        }
        let gateway = site.start().await;
        // The story is whole at the start: what has no result has got one.
        let (told, kept) = (story(&site), journal(&site));
        let results: BTreeSet<u64> = told.made.union(&told.not_made).copied().collect();
        assert_eq!(told.intents.keys().copied().collect::<BTreeSet<_>>(), results, "life {life}");
        assert!(told.made.is_disjoint(&told.not_made), "life {life}: {told:?}");
        let made = told.made.iter().map(|it| (*it, told.intents[it]));
        let made: BTreeMap<u64, u64> = made.collect();
        assert!(kept.iter().all(|(it, revision)| made.get(it) == Some(revision)), "life {life}");
        // The journal remembers the last hundred.
        let last: Vec<_> = made.iter().rev().take(90).collect();
        assert!(last.iter().all(|(it, revision)| kept.get(it) == Some(revision)), "life {life}");
        let revisions: BTreeSet<u64> = made.values().copied().collect();
        assert!(answered.is_subset(&revisions), "life {life}");
        assert_eq!(revisions.len(), made.len(), "life {life}: no revision was made twice");
        recovered = site.lines().iter().filter(|line| line["event"] == "recovered").count();
        let changing = change(&gateway, 1 + life % 4).await;
        tokio::time::sleep(Duration::from_micros(rng.u64(1000..150_000))).await;
        gateway.kill();
        for changing in changing {
            answered.extend(changing.await.unwrap());
        }
    }
}
