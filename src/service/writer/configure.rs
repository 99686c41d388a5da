//! Another configuration, and what a source has found.

use std::sync::Arc;

use super::Writer;
use crate::service::desired::Desired;
use crate::service::override_view::OverrideChanges;
use crate::service::staged::StageRequest;

impl Writer {
    /// Applies a configuration in two phases: builds the snapshot, then awaits the commit, which
    /// comes for all services at once. Overrides stay on top. Changes wait meanwhile: otherwise they
    /// could be lost, or take effect before the commit.
    pub(super) async fn configure(
        &mut self,
        StageRequest { config, staged, commit }: StageRequest,
    ) {
        let builder = self.transition_builder();
        let build = move || {
            let (desired, ended) = builder.desired.reconfigured(config)?;
            Some((builder.build(desired), ended))
        };
        let Some((transition, ended)) = self.build_pool.run(build).await else {
            let _ = staged.send(None);
            return;
        };
        if staged.send(Some(Arc::clone(&transition.snapshot))).is_err() {
            return;
        }
        let Ok(acknowledge) = commit.await else { return };
        let before = Arc::clone(&self.overrides);
        self.apply(transition);
        let Desired { spec, revision, .. } = &self.desired;
        let generation = self.publisher.snapshot().load().generation;
        tracing::info!(service = spec.name, revision, generation, "reconfigured");
        OverrideChanges::between(&before, &self.overrides).log(&spec.name);
        let _ = acknowledge.send(());
        if let Some(ended) = ended {
            self.keep_end(ended).await;
        }
    }

    /// Puts the newest set of the source into effect, and what names resolve to.
    pub(super) async fn apply_discovered(&mut self) {
        let set = self.desired.source.as_ref().and_then(|source| source.current());
        let builder = self.transition_builder();
        let build = move || {
            let (desired, ended) = builder.desired.discovered();
            (builder.build(desired), ended)
        };
        let (transition, ended) = self.build_pool.run(build).await;
        self.applied = set;
        self.apply(transition);
        let Desired { spec, backends, .. } = &self.desired;
        tracing::debug!(service = spec.name, backends = backends.len(), "discovered");
        if let Some(ended) = ended {
            self.end(ended).await;
        }
    }
}
