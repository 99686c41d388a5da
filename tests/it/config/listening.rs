//! Conflicting listener addresses.

use super::errors;

/// The errors of a configuration with these addresses for clients, control and metrics.
fn told(clients: &[&str], control: &str, metrics: &str) -> Vec<String> {
    let told = errors(&format!(
        "listeners: {clients:?}\ncontrol: {{ address: \"{control}\" }}\nmetrics: \"{metrics}\"\n\
         services: {{ a: {{ endpoints: [ b:1 ] }} }}\nroutes: [ a ]\n"
    ));
    told.into_iter().filter(|error| !error.contains("in clear text")).collect()
}

#[test]
fn addresses_that_meet_are_refused_with_the_one_that_takes_in_the_other() {
    let (control, metrics) = ("127.0.0.1:2", "127.0.0.1:3");
    for (clients, control, metrics, says) in [
        (&["127.0.0.1:1", "127.0.0.1:1"][..], control, metrics, "127.0.0.1:1 is listened on twice"),
        (&["127.0.0.1:1", "0.0.0.0:1"], control, metrics, "0.0.0.0:1 takes in 127.0.0.1:1"),
        (
            &["[::]:1", "127.0.0.1:1"],
            control,
            metrics,
            "[::]:1 takes in 127.0.0.1:1: `[::]` is IPv4 too",
        ),
        (&["[::]:1", "[::1]:1"], control, metrics, "[::]:1 takes in [::1]:1"),
        (&["[::ffff:127.0.0.1]:1", "127.0.0.1:1"], control, metrics, "listened on twice"),
        (&["0.0.0.0:2"], control, metrics, "0.0.0.0:2 takes in 127.0.0.1:2"),
        (&["[::]:3"], control, metrics, "[::]:3 takes in 127.0.0.1:3"),
        (&["127.0.0.1:1"], "0.0.0.0:9", "127.0.0.1:9", "0.0.0.0:9 takes in 127.0.0.1:9"),
    ] {
        let told = told(clients, control, metrics);
        assert_eq!(told.len(), 1, "{clients:?}: {told:?}");
        assert!(told[0].contains(says), "{clients:?}: {told:?}");
    }
}

#[test]
fn addresses_that_do_not_meet_are_taken() {
    for (clients, control, metrics) in [
        (&["0.0.0.0:1", "[::]:1"][..], "127.0.0.1:2", "127.0.0.1:3"),
        (&["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"], "127.0.0.3:1", "127.0.0.4:1"),
        (&["127.0.0.1:0", "0.0.0.0:0", "[::]:0"], "127.0.0.1:0", "127.0.0.1:0"),
        (&["0.0.0.0:1"], "[::]:1", "127.0.0.1:3"),
    ] {
        let told = told(clients, control, metrics);
        assert!(told.is_empty(), "{clients:?}: {told:?}");
    }
}
