//! ListMethods: a service's gRPC methods with their statistics.

use super::proto;
use crate::model::{Code, MethodStats, Protocol};
use crate::service::MethodTable;
use crate::stats::HistogramCounts;

/// All methods that were called: most requests first, the aggregate of unnamed ones last.
pub(super) fn list(table: &MethodTable) -> proto::ListMethodsResponse {
    let (mut other, mut methods): (Vec<_>, Vec<_>) = table
        .all()
        .iter()
        .map(|stats| method(stats))
        .filter(|method| method.requests > 0)
        .partition(|method| method.name == table.other().name());
    methods.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    methods.append(&mut other);
    proto::ListMethodsResponse { methods }
}

fn method(stats: &MethodStats) -> proto::Method {
    let (codes, mut durations) = (stats.codes(), HistogramCounts::default());
    stats.add_durations_to(&mut durations);
    let (succeeded, failures) = codes.success_failure();
    let finished = succeeded + failures;
    let code = |(protocol, code, count): (Protocol, Code, u64)| proto::CodeCount {
        protocol: protocol.name().into(),
        code: code.to_string(),
        count,
    };
    proto::Method {
        name: stats.name().into(),
        requests: codes.requests(),
        failures,
        success_ratio: (finished > 0).then(|| succeeded as f64 / finished as f64),
        p50_seconds: durations.quantile(0.5),
        p99_seconds: durations.quantile(0.99),
        streams: stats.streams(),
        cut: stats.cut(),
        codes: codes.codes().map(code).collect(),
    }
}
