//! Validity of TLS certificates.

use x509_parser::time::ASN1Time;

/// A certificate that expires within this time should be replaced.
const EXPIRY_WARNING: i64 = 14 * DAY;

const DAY: i64 = 86_400;

/// A certificate or a revocation list in use. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its file, as written in the configuration.
    pub file: String,
    /// Its subject; of a revocation list, its issuer.
    pub subject: String,
    /// Start of its validity.
    pub not_before: i64,
    /// End of its validity.
    pub not_after: i64,
    /// Whether it is a revocation list.
    pub is_list: bool,
}

impl Certificate {
    /// A warning if it is expired, not valid yet or about to expire; revocation lists always are
    /// about to.
    pub fn validity_warning(&self, now: i64) -> Option<String> {
        let left = self.not_after.saturating_sub(now);
        let what = if now < self.not_before {
            format!("is not valid before {}", date(self.not_before))
        } else if left < 0 {
            format!("has expired: it was valid until {}", date(self.not_after))
        } else if left <= EXPIRY_WARNING && !self.is_list {
            let days = match left / DAY {
                0 => "less than a day".into(),
                1 => "1 day".into(),
                days => format!("{days} days"),
            };
            format!("expires in {days}, at {}", date(self.not_after))
        } else {
            return None;
        };
        let kind = if self.is_list { "revocation list of" } else { "certificate" };
        Some(format!("the {kind} `{}` in {} {what}", self.subject, self.file))
    }
}

fn date(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| "?".into(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_certificate_is_judged_to_the_second() {
        let [begin, end] = [100 * DAY, 200 * DAY];
        let [file, subject] = ["a.pem", "CN=a"].map(String::from);
        let certificate =
            Certificate { file, subject, not_before: begin, not_after: end, is_list: false };
        let says = |now: i64, what: &str| match certificate.validity_warning(now) {
            Some(warning) => {
                assert!(!what.is_empty() && warning.contains(what), "{warning}")
            }
            None => assert_eq!(what, ""),
        };
        says(begin - 1, "`CN=a` in a.pem is not valid before Apr 11");
        says(begin, "");
        says(end - EXPIRY_WARNING - 1, "");
        says(end - EXPIRY_WARNING, "expires in 14 days, at Jul 20");
        says(end - DAY, "expires in 1 day,");
        says(end, "expires in less than a day");
        says(end + 1, "has expired: it was valid until Jul 20 00:00:00 1970 +00:00");
        says(i64::MAX, "has expired");
    }
}
