//! The journal on a disk in memory that loses power, fails and waits as it is told.

mod disk;
mod reading;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::counters::{Counters, Failure};
use super::error::JournalError;
use super::file::{JournalFile, Patience};
use super::{Journal, MAX_BATCH};
use crate::clock::Clock;
use crate::model::{Address, Time};
use crate::overrides::{
    Author, ChangeRecord, Expiry, Field, FieldChange, KeptState, NotKept, Provenance, RecordKind,
    Setting, Store as _, Subject, Value,
};
use disk::{Fault, MemoryDisk};

const PATH: &str = "/var/lib/overrides.jsonl";

fn path() -> &'static Path {
    Path::new(PATH)
}

fn weight_of(address: &str) -> Field {
    Field::Weight(Address::parse(address).unwrap())
}

fn setting(revision: u64, value: Value) -> Setting {
    let by = Author {
        identity: Some("token:ci".into()),
        peer: "127.0.0.1:4".into(),
        actor: Some("ann".into()),
        reason: Some("so \"it\" is, \u{e4}".into()),
        method: None,
    };
    Setting {
        value: Some(value),
        provenance: Provenance { by, at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500) },
        since: Time::ZERO,
        revision,
        place: (revision, 0),
        until: None,
        under: None,
        instance: None,
    }
}

/// A change of one field of a service, which makes `revision`.
fn change(service: &str, revision: u64, field: Field, value: Option<Value>) -> Arc<ChangeRecord> {
    let subject = Subject::service(service);
    let to = value.map(|value| Arc::new(setting(revision, value)));
    let provenance = setting(revision, Value::Removed).provenance;
    let texts = (format!("old {revision}"), format!("new {revision}"));
    let made = ChangeRecord::made(provenance, subject, &"set weights", texts, revision);
    Arc::new(made.editing(vec![FieldChange { field, from: None, to }], None))
}

/// The change that sets the weight of a backend to its revision.
fn weigh(revision: u64) -> Arc<ChangeRecord> {
    let field = weight_of(&format!("a:{}", revision % 7 + 1));
    change("orders", revision, field, Some(Value::Weight(revision as u32)))
}

fn open(disk: &MemoryDisk) -> Result<JournalFile, JournalError> {
    let counters = Arc::<Counters>::default();
    JournalFile::open(Arc::new(disk.clone()), path(), Clock::start(), counters)
}

fn append(file: &mut JournalFile, records: &[Arc<ChangeRecord>]) -> Result<(), NotKept> {
    file.append(&[records.to_vec()], &Patience::default()).remove(0)
}

/// Weights by address, and the revision.
type Weights = (u64, BTreeMap<String, u32>);

fn weights(kept: &KeptState) -> Weights {
    let weight = |(field, setting): &(Field, Arc<Setting>)| match (&field, &setting.value) {
        (Field::Weight(address), Some(Value::Weight(weight))) => {
            Some((address.to_string(), *weight))
        }
        _ => None,
    };
    (kept.revision, kept.settings.iter().filter_map(weight).collect())
}

fn held(file: &JournalFile) -> Weights {
    let mut kept = file.image.kept().filter(|(subject, _)| subject.name() == "orders");
    kept.next().map(|(_, kept)| weights(&kept)).unwrap_or_default()
}

/// What is there after the changes up to `revision`, from 2 on.
fn after(revision: u64) -> Weights {
    let mut weights = BTreeMap::new();
    for made in 2..=revision {
        weights.insert(format!("a:{}", made % 7 + 1), made as u32);
    }
    (if revision < 2 { 0 } else { revision }, weights)
}

/// Power is lost at every call to the disk, with all, some or none of what was not synced written,
/// and each call fails once; afterwards exactly the changes that were answered are there, but for one
/// whose answer was never given.
#[test]
fn whatever_fails_and_whenever_power_is_lost_what_was_answered_is_there() {
    let calls = {
        let disk = MemoryDisk::default();
        scenario(&disk);
        disk.calls()
    };
    assert!(calls > 70, "{calls}");
    for at in 0..calls {
        for survives in [0, 1, 2] {
            let disk = MemoryDisk::failing(at, Fault::PowerLoss);
            let answered = scenario(&disk);
            let disk = disk.after_power_loss(survives);
            let file = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            let there = held(&file);
            let next = after(answered.last + 1);
            assert!(
                there == after(answered.last) || answered.pending && there == next,
                "power was lost at call {at}, {survives}: {there:?}, answered {answered:?}"
            );
        }
    }
    for fault in [Fault::Once, Fault::Short, Fault::OnceUnsynced] {
        for at in 0..calls {
            let disk = MemoryDisk::failing(at, fault);
            let answered = scenario(&disk);
            if !answered.opened {
                continue; // the gateway has not started, and says why
            }
            assert_eq!(answered.last, 30, "{fault:?} at {at}: the others are kept");
            let disk = disk.after_power_loss(0);
            let file = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(held(&file), answered.weights, "{fault:?} at {at}");
        }
    }
}

#[derive(Debug, Default)]
struct Answered {
    opened: bool,
    /// The last revision that was answered.
    last: u64,
    /// Whether one more was asked for, and never answered.
    pending: bool,
    weights: Weights,
}

/// Changes until the power is lost, with new files in between.
fn scenario(disk: &MemoryDisk) -> Answered {
    let mut answered = Answered { last: 1, ..Answered::default() };
    let Ok(mut file) = open(disk) else { return answered };
    answered.opened = true;
    for revision in 2..=30 {
        if revision % 10 == 0 {
            file.distrust(); // the next one is preceded by a new file
        }
        let kept = append(&mut file, &[weigh(revision)]);
        if disk.is_dead() {
            answered.pending = true;
            return answered;
        }
        // What was refused is asked for again, as an operator would.
        let kept = kept.or_else(|_| append(&mut file, &[weigh(revision)]));
        if kept.is_ok() {
            answered.last = revision;
        }
    }
    answered.weights = held(&file);
    answered
}

#[test]
fn a_change_that_was_refused_does_not_come_back() {
    for fault in [Fault::Once, Fault::OnceUnsynced] {
        let disk = MemoryDisk::default();
        let mut file = open(&disk).unwrap();
        append(&mut file, &[weigh(2)]).unwrap();
        disk.fail_next(fault, "sync");
        let refused = append(&mut file, &[weigh(3)]).unwrap_err().to_string();
        assert!(refused.contains("the change is not in effect"), "{refused}");
        assert!(file.is_up(), "a whole new file stands at once");
        assert_eq!(file.counters.failures(Failure::Sync), 1);
        drop(file);
        assert_eq!(held(&open(&disk).unwrap()), after(2));
    }
}

#[test]
fn nothing_is_kept_until_a_whole_new_file_stands() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    append(&mut file, &[weigh(2)]).unwrap();
    disk.fail_all(true);
    for _ in 0..3 {
        append(&mut file, &[weigh(3)]).unwrap_err();
        assert!(!file.is_up());
    }
    // What is no longer configured has ended all the same.
    let ended = ChangeRecord::ended(&Subject::service("orders"), Vec::new(), 2);
    let fields = vec![FieldChange { field: weight_of("a:3"), from: None, to: None }];
    append(&mut file, &[Arc::new(ChangeRecord { fields, ..ended })]).unwrap_err();
    disk.fail_all(false);
    append(&mut file, &[change("orders", 3, weight_of("b:1"), Some(Value::Weight(5)))]).unwrap();
    assert!(file.is_up());
    drop(file);
    let expected = (3, BTreeMap::from([("b:1".to_owned(), 5)]));
    assert_eq!(held(&open(&disk).unwrap()), expected);
}

#[test]
fn a_file_that_has_grown_is_written_anew_and_a_gone_service_leaves_it() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let (mut revision, mut highest) = (1, 0);
    let mut sizes = Vec::new();
    for _ in 0..6_000 {
        revision += 1;
        append(&mut file, &[weigh(revision)]).unwrap();
        highest = highest.max(disk.size(path()));
        sizes.push(disk.size(path()));
    }
    assert!(highest < 5 << 20, "{highest}");
    assert!(sizes.windows(2).any(|pair| pair[1] < pair[0]), "it was written anew");
    let expected = held(&file);
    assert_eq!(expected.0, revision);
    drop(file);
    let mut file = open(&disk).unwrap();
    assert_eq!(held(&file), expected);
    let log = |file: &JournalFile| file.image.kept().next().map(|(_, kept)| kept.log);
    assert_eq!(log(&file).unwrap().records().count(), 100);
    let gone = Arc::new(ChangeRecord::gone(&Subject::service("orders"), revision));
    append(&mut file, &[Arc::clone(&gone), Arc::new(ChangeRecord::gone(&Subject::route("x"), 9))])
        .unwrap();
    drop(file);
    let file = open(&disk).unwrap();
    assert_eq!(file.image.kept().count(), 0);
    assert_eq!((file.image.retired.service, file.image.retired.route), (revision, 0));
    assert_eq!(gone.kind, RecordKind::Gone);
}

#[test]
fn a_change_that_is_too_large_is_refused_alone() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let mut large = (*weigh(3)).clone();
    large.old = "x".repeat(super::line::MAX_LINE);
    let batch = [vec![weigh(2)], vec![Arc::new(large)], vec![weigh(3)]];
    let results = file.append(&batch, &Patience::default());
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(results[1].as_ref().unwrap_err().to_string().contains("make it in parts"));
    assert!(file.is_up());
    drop(file);
    assert_eq!(held(&open(&disk).unwrap()), after(3));
}

#[test]
fn what_is_over_is_not_there_after_a_restart() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let (wall, past) = (crate::clock::wall(), Duration::from_secs(60));
    let over = Expiry { at: Time::ZERO, wall: wall - past };
    let later = Expiry { at: Time::ZERO, wall: wall + past };
    for (revision, until, address) in [(2, over, "a:1"), (3, later, "b:1")] {
        let under = Some(Arc::new(setting(1, Value::Weight(3))));
        let to = Setting { until: Some(until), under, ..setting(revision, Value::Weight(9)) };
        let fields =
            vec![FieldChange { field: weight_of(address), from: None, to: Some(Arc::new(to)) }];
        let made = (*change("orders", revision, Field::Policy, None)).clone();
        let record = ChangeRecord { fields, until: Some(until), ..made };
        append(&mut file, &[Arc::new(record)]).unwrap();
    }
    drop(file);
    let mut file = open(&disk).unwrap();
    for _ in 0..2 {
        let (_, kept) = file.image.kept().next().unwrap();
        let live = |setting: &Arc<Setting>| setting.live(Time::ZERO + Duration::from_secs(1));
        let seen: BTreeMap<_, _> = kept
            .settings
            .iter()
            .map(|(field, setting)| (field.to_string(), live(setting).unwrap().value.clone()))
            .collect();
        let values: Vec<_> = seen.into_values().collect();
        assert_eq!(values, [Some(Value::Weight(3)), Some(Value::Weight(9))]);
        file.distrust();
        append(&mut file, &[change("x", 2, Field::Policy, None)]).unwrap();
        drop(file);
        file = open(&disk).unwrap();
    }
}

#[tokio::test]
async fn callers_share_a_sync() {
    let disk = MemoryDisk::default();
    let journal = Journal::open_on(Arc::new(disk.clone()), path(), Clock::start()).unwrap();
    let journal = Arc::new(journal);
    let before = disk.syncs();
    // They have asked before the task begins.
    let mut waiting = Vec::new();
    for revision in 2..=(MAX_BATCH as u64 + 1) {
        waiting.push(tokio::spawn(journal.keep(vec![weigh(revision)])));
    }
    tokio::task::yield_now().await;
    let running = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.run().await }
    });
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(disk.syncs() - before, 1, "one sync for {MAX_BATCH} changes");
    journal.keep(vec![weigh(MAX_BATCH as u64 + 2)]).await.unwrap();
    assert_eq!(disk.syncs() - before, 2, "and it is synced before the answer");
    running.abort();
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_not_waited_for_for_ever() {
    let disk = MemoryDisk::default();
    let journal = Journal::open_on(Arc::new(disk.clone()), path(), Clock::start()).unwrap();
    let journal = Arc::new(journal);
    let running = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.run().await }
    });
    journal.keep(vec![weigh(2)]).await.unwrap();
    let stall = disk.stall();
    let waiting = tokio::spawn(journal.keep(vec![weigh(3)]));
    disk.until_stalled().await;
    tokio::time::pause();
    tokio::time::advance(super::PATIENCE + Duration::from_secs(1)).await;
    let refused = waiting.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("has not answered for 5 s"), "{refused}");
    assert!(!journal.counters().is_up());
    let refused = journal.keep(vec![weigh(4)]).await.unwrap_err().to_string();
    assert!(refused.contains("has not answered"), "{refused}");
    tokio::time::resume();
    drop(stall);
    while journal.keep(vec![weigh(3)]).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(journal.counters().is_up());
    assert_eq!(journal.counters().failures(Failure::Stuck), 1);
    running.abort();
    let _ = running.await;
    drop(journal);
    assert_eq!(held(&open(&disk).unwrap()), after(3), "and not what was refused");
}
