//! What is read of a journal: whole, cut, damaged, or none.

use super::*;
use crate::text::ParamValue;

/// A change of every kind of field, each for an hour and over another.
fn everything() -> Arc<ChangeRecord> {
    let at = |address: &str| Address::parse(address).unwrap();
    let map = ParamValue::Map(vec![("header".into(), "x-user".into())]);
    let settings = vec![("key".into(), map), ("b".into(), ParamValue::Text("1".into()))];
    let name = "maglev".into();
    let values = [
        (Field::Policy, Value::Policy { name, settings }),
        (Field::Member(at("unix:/run/a b.sock")), Value::Added(7)),
        (Field::Member(at("[::1]:5")), Value::Removed),
        (Field::Weight(at("B.example:80")), Value::Weight(0)),
        (Field::Drain(at("c:1")), Value::Drained { deadline: None }),
        (Field::Eject(at("d:1")), Value::Ejected),
    ];
    let wall = crate::clock::wall();
    let hour = Expiry::after(Duration::from_secs(3600), Time::ZERO, wall);
    let mut fields = Vec::new();
    for (place, (field, value)) in (0..).zip(values) {
        let under = Some(Arc::new(setting(1, Value::Weight(3))));
        let to = Setting { until: Some(hour), under, place: (2, place), ..setting(2, value) };
        let from = Some(Arc::new(setting(1, Value::Weight(3))));
        fields.push(FieldChange { field, from, to: Some(Arc::new(to)) });
    }
    let made = change("orders", 2, Field::Policy, None);
    Arc::new(ChangeRecord { fields, until: Some(hour), ..(*made).clone() })
}

#[test]
fn a_change_is_read_as_it_was_written() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let record = everything();
    append(&mut file, &[Arc::clone(&record)]).unwrap();
    let share = change("x", 5, Field::Share("canary#2".into()), Some(Value::Weight(9)));
    let share = ChangeRecord { subject: Subject::Route("checkout".into()), ..(*share).clone() };
    append(&mut file, &[Arc::new(share.clone())]).unwrap();
    // A person can read it.
    let text = String::from_utf8(disk.content(path())).unwrap();
    for part in [
        "\"time\":\"1970-01-01T00:00:01.500Z\"",
        "\"actor\":\"ann\",\"peer\":\"127.0.0.1:4\",\"reason\":\"so \\\"it\\\" is, \u{e4}\"",
        "\"change\":\"set weights\",\"old\":\"old 2\",\"new\":\"new 2\"",
        "{\"field\":\"weight\",\"of\":\"B.example:80\",\"from\":{\"value\":{\"weight\":3}",
        "\"route\":\"checkout\",\"revision\":5",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    drop(file);
    for anew in [false, true] {
        let mut file = open(&disk).unwrap();
        if anew {
            // Written anew, it says the same.
            file.distrust();
            append(&mut file, &[]).unwrap();
            append(&mut file, &[change("other", 2, weight_of("a:1"), None)]).unwrap();
            drop(file);
            file = open(&disk).unwrap();
        }
        let kept: BTreeMap<_, _> = file.image.kept().collect();
        let orders = &kept[&Subject::service("orders")];
        let read = Arc::clone(orders.log.records().next().unwrap());
        let near = |one: Option<Expiry>| {
            one.unwrap().at.since(Time::ZERO).abs_diff(Duration::from_secs(3600))
        };
        assert!(near(read.until) < Duration::from_secs(60));
        let plain = |record: &ChangeRecord| {
            // The ends are as near as the clocks are.
            let fields = record.fields.iter().map(|change| {
                let to = change.to.as_ref().map(|to| Setting { until: None, ..(**to).clone() });
                (change.field.clone(), change.from.as_deref().cloned(), to)
            });
            let fields: Vec<_> = fields
                .map(|(field, from, to)| (field.to_string(), unstamped(from), unstamped(to)))
                .collect();
            (ChangeRecord { fields: Vec::new(), until: None, ..record.clone() }, fields)
        };
        assert_eq!(plain(&read), plain(&record));
        assert_eq!(orders.settings.len(), 6);
        let route = &kept[&Subject::Route("checkout".into())];
        assert_eq!((route.revision, route.settings.len()), (5, 1));
        assert!(file.image.sequence >= share.sequence);
    }
}

/// Without what depends on when it was read.
fn unstamped(setting: Option<Setting>) -> Option<Setting> {
    setting.map(|setting| {
        let under = setting.under.as_deref().cloned();
        let under = unstamped(under).map(Arc::new);
        Setting { since: Time::ZERO, under, ..setting }
    })
}

#[test]
fn a_file_cut_at_any_byte_has_all_that_was_whole() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let mut ends = vec![(disk.content(path()).len(), 1)];
    for revision in 2..16 {
        append(&mut file, &[weigh(revision)]).unwrap();
        ends.push((disk.content(path()).len(), revision));
    }
    drop(file);
    let whole = disk.content(path());
    for cut in 0..=whole.len() {
        let disk = MemoryDisk::with(path(), &whole[..cut]);
        let file = open(&disk).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let there = ends.iter().filter(|(end, _)| *end <= cut).map(|(_, revision)| *revision);
        assert_eq!(held(&file), after(there.max().unwrap_or(1)), "cut at {cut}");
        let is_end = cut == 0 || ends.iter().any(|(end, _)| *end == cut);
        let counted = file.counters.failures(Failure::Torn);
        assert_eq!((counted, disk.aside()), (u64::from(!is_end), 0), "cut at {cut}");
        drop(file);
        // It is whole again, and nothing is told twice.
        let mut file = open(&disk).unwrap();
        assert_eq!(file.counters.failures(Failure::Torn), 0, "cut at {cut}");
        append(&mut file, &[weigh(31)]).unwrap();
    }
}

#[test]
fn damage_in_the_midst_costs_what_is_damaged_and_the_file_is_set_aside() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    let mut starts = vec![disk.content(path()).len()];
    for revision in 2..9 {
        append(&mut file, &[weigh(revision)]).unwrap();
        starts.push(disk.content(path()).len());
    }
    drop(file);
    let whole = disk.content(path());
    for at in (0..starts[6]).step_by(3).filter(|at| whole[*at] != b'\n') {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        let disk = MemoryDisk::with(path(), &broken);
        let file = open(&disk).unwrap_or_else(|error| panic!("{at}: {error}"));
        let line = starts.iter().filter(|start| **start <= at).count() as u64; // 0 is the header
        let expected: BTreeMap<String, u32> = (2..9)
            .filter(|revision| revision - 1 != line)
            .map(|revision| (format!("a:{}", revision % 7 + 1), revision as u32))
            .collect();
        assert_eq!(held(&file), (8, expected), "{at}");
        assert_eq!((file.counters.failures(Failure::Corrupt), disk.aside()), (1, 1), "{at}");
        assert_eq!(disk.set_aside_content(), broken);
        drop(file);
        let file = open(&disk).unwrap();
        assert_eq!((file.counters.failures(Failure::Corrupt), disk.aside()), (0, 1), "{at}");
    }
}

#[test]
fn what_is_no_journal_is_left_alone() {
    for content in ["listeners: [ 127.0.0.1:0 ]\n", "{\"a\":1}\n", "\u{0}x"] {
        let disk = MemoryDisk::with(path(), content.as_bytes());
        let error = open(&disk).unwrap_err().to_string();
        assert!(error.contains("is not a journal of overrides: move it away"), "{error}");
        assert_eq!(disk.content(path()), content.as_bytes());
    }
    let newer = line_of(
        "{\"journal\":\"equipoise overrides\",\"version\":2,\"retired_service\":0,\
                         \"retired_route\":0",
    );
    let disk = MemoryDisk::with(path(), newer.as_bytes());
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("has version 2 of its format"), "{error}");
    assert_eq!(disk.content(path()), newer.as_bytes());
    // What a later version adds to a line is ignored.
    let disk = MemoryDisk::default();
    drop(open(&disk).unwrap());
    let mut content = disk.content(path());
    content.extend(line_of("{\"seq\":9,\"time\":\"2026-01-02T03:04:05Z\",\"service\":\"orders\",\
        \"revision\":4,\"bound_to\":\"x\",\"fields\":[{\"field\":\"weight\",\"of\":\"a:1\",\"instance\":\
        \"x\",\"to\":{\"value\":{\"weight\":8}}}]").bytes());
    let file = open(&MemoryDisk::with(path(), &content)).unwrap();
    assert_eq!(held(&file), (4, BTreeMap::from([("a:1".into(), 8)])));
}

/// A line with its checksum.
fn line_of(body: &str) -> String {
    format!("{body},\"crc32\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()))
}

#[test]
fn a_second_gateway_is_refused_while_the_first_one_lives() {
    let disk = MemoryDisk::default();
    let file = open(&disk).unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("another gateway has the journal of overrides /var/lib/ov"), "{error}");
    drop(file);
    open(&disk).unwrap();
}

#[test]
fn a_damaged_last_line_that_has_an_end_is_no_tear() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    (2..6).for_each(|revision| append(&mut file, &[weigh(revision)]).unwrap());
    drop(file);
    disk.edit(path(), |content| {
        let at = content.len() - 9;
        content[at] ^= 1;
    });
    let file = open(&disk).unwrap();
    assert_eq!(held(&file), after(4));
    assert_eq!(disk.aside(), 1, "somebody was told of it");
}

#[test]
fn who_removes_cuts_or_continues_the_file_takes_no_change_away() {
    let disk = MemoryDisk::default();
    let mut file = open(&disk).unwrap();
    append(&mut file, &[weigh(2)]).unwrap();
    let meddle: [&dyn Fn(); 3] =
        [&|| disk.remove(path()), &|| disk.edit(path(), Vec::clear), &|| {
            disk.edit(path(), |content| content.extend(b"x"))
        }];
    for (meddle, revision) in meddle.iter().zip(3..) {
        meddle();
        append(&mut file, &[weigh(revision)]).unwrap();
        let copy = MemoryDisk::with(path(), &disk.content(path()));
        assert_eq!(held(&open(&copy).unwrap()), after(revision));
    }
    assert!(disk.aside() > 0, "what was there is kept");
}
