//! `weighted_random`: each request goes to a member drawn at random by weight.

use std::sync::Arc;

use super::sampling::Weights;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::EndpointSet;
use crate::text::{BadParams, Params};

/// The policy; it has no settings.
#[derive(Debug)]
pub struct WeightedRandom;

impl Policy for WeightedRandom {
    fn name(&self) -> &'static str {
        "weighted_random"
    }

    fn configure(&self, params: Params) -> Result<Arc<dyn Factory>, BadParams> {
        params.finish()?;
        Ok(Arc::new(WeightedRandom))
    }
}

impl Factory for WeightedRandom {
    fn build(&self, set: Arc<EndpointSet>, _: &mut fastrand::Rng) -> Box<dyn Picker> {
        Box::new(WeightedPicker(Weights::new(&set)))
    }
}

struct WeightedPicker(Weights);

impl Picker for WeightedPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        self.0.draw_untried(cx.tried, cx.rng)
    }
}
