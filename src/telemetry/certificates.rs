//! TLS certificates in use, and when they expire.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::sleep;

use crate::clock;
use crate::model::Certificate;

/// Metrics export at most this many, those that expire first.
const MAX_EXPORTED: usize = 200;

/// Interval between expiry checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(86_400);

/// The certificates of the configuration in effect.
#[derive(Debug, Default)]
pub struct Certificates(ArcSwap<Vec<Certificate>>);

impl Certificates {
    /// Replaces the set. Of several with the same file and subject, the first to expire is kept.
    pub fn replace(&self, mut certificates: Vec<Certificate>) {
        certificates.sort_by(|a, b| {
            let key = |c: &Certificate| (c.not_after, c.not_before);
            (&a.file, &a.subject, key(a)).cmp(&(&b.file, &b.subject, key(b)))
        });
        certificates.dedup_by(|b, a| (&a.file, &a.subject) == (&b.file, &b.subject));
        certificates.sort_by_key(|certificate| certificate.not_after);
        certificates.truncate(MAX_EXPORTED);
        self.0.store(Arc::new(certificates));
    }

    /// The certificates, first to expire first.
    pub fn all(&self) -> Arc<Vec<Certificate>> {
        self.0.load_full()
    }

    /// Logs certificates that are expired or about to, once a day; loading has already warned once.
    pub async fn check_daily(&self) {
        let warn = |warning: &str| tracing::warn!("{warning}");
        self.check(|| clock::unix_seconds() as i64, warn).await;
    }

    async fn check(&self, now: impl Fn() -> i64, mut say: impl FnMut(&str)) {
        loop {
            sleep(CHECK_INTERVAL).await;
            for certificate in self.all().iter() {
                if let Some(warning) = certificate.validity_warning(now()) {
                    say(&warning);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    fn certificate(subject: &str, days: i64) -> Certificate {
        let [file, subject] = ["a.pem", subject].map(String::from);
        Certificate { file, subject, not_before: 0, not_after: days * 86_400, is_list: false }
    }

    #[tokio::test(start_paused = true)]
    async fn an_expiring_certificate_is_logged_daily() {
        let certificates = Certificates::default();
        certificates.replace(vec![certificate("b", 90), certificate("a", 17)]);
        let begun = Instant::now();
        let mut said = Vec::new();
        let now = || begun.elapsed().as_secs() as i64;
        let days = Duration::from_secs(5 * 86_400 + 3600);
        let say = |warning: &str| said.push(warning.to_owned());
        timeout(days, certificates.check(now, say)).await.unwrap_err();
        let [third, _, fifth] = &said[..] else { panic!("{said:?}") };
        assert!(third.contains("`a` in a.pem expires in 1"), "{third}");
        assert!(fifth.contains("`a` in a.pem expires in 1"), "{fifth}");
    }

    #[test]
    fn metrics_have_each_name_once_and_not_too_many() {
        let certificates = Certificates::default();
        let many = (0..300).map(|i| certificate(&format!("{i}"), 300 - i));
        certificates.replace(many.chain([certificate("299", 70)]).collect());
        let all = certificates.all();
        let ends: Vec<_> = all.iter().map(|c| c.not_after / 86_400).collect();
        assert_eq!(ends, (1..=200).collect::<Vec<_>>());
    }
}
