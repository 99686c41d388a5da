//! `weighted_random`: each request goes to a member drawn at random by weight.
//!
//! Walker's alias method in Vose's form, in whole numbers so that shares are exact: every member
//! owns one column, of which it keeps a part and lends the rest to one other member. A draw picks
//! a column and a height in it, at the same cost for three members as for a thousand.

use std::sync::Arc;

use super::draw::Weights;
use super::{Factory, PickCx, Picker, Policy};
use crate::model::{BadParams, EndpointSet, Params};

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
    fn build(&self, set: Arc<EndpointSet>) -> Box<dyn Picker> {
        let weights = Weights::new(&set);
        Box::new(WeightedPicker { columns: columns(&weights), weights })
    }
}

struct WeightedPicker {
    columns: Box<[Column]>,
    weights: Weights,
}

/// Heights below `kept` are the owner's, those above are the alias's.
#[derive(Clone, Copy)]
struct Column {
    kept: u64,
    alias: usize,
}

impl Picker for WeightedPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> usize {
        if !cx.tried.is_empty() {
            return self.weights.draw_untried(cx.tried, cx.rng);
        }
        let owner = cx.rng.usize(0..self.columns.len());
        let column = self.columns[owner];
        if cx.rng.u64(0..self.weights.total()) < column.kept { owner } else { column.alias }
    }
}

/// Columns of the total's height each: those that would overflow fill up those that would not.
fn columns(weights: &Weights) -> Box<[Column]> {
    let (len, height) = (weights.len(), weights.total());
    let mut columns: Box<[Column]> = (0..len)
        .map(|index| Column { kept: weights.of(index).saturating_mul(len as u64), alias: index })
        .collect();
    let (mut low, mut high): (Vec<usize>, Vec<usize>) =
        (0..len).partition(|&index| columns[index].kept < height);
    while let Some(&lender) = high.last()
        && let Some(borrower) = low.pop()
    {
        columns[borrower].alias = lender;
        columns[lender].kept -= height - columns[borrower].kept;
        if columns[lender].kept < height {
            high.pop();
            low.push(lender);
        }
    }
    columns
}
