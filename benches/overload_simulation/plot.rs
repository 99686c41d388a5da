//! Goodput by load as a drawing: a line for each kind of limits.

use std::fmt::Write;

use super::model::Limits;

const STYLE: &str = "\
text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .faint { fill: #59636e; font-size: 11px }
.paper { fill: #ffffff; stroke: #d1d9e0 } .grid { stroke: #e3e8ed }
polyline { fill: none; stroke-width: 2.5 } .none { stroke: #cf222e } .hand { stroke: #59636e } .learnt { stroke: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 } .paper { fill: #0d1117; stroke: #3d444d } .grid { stroke: #2a3038 }
  .none { stroke: #ff7b72 } .hand { stroke: #9198a1 } .learnt { stroke: #4493f8 }
}";

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 44.0;
const LOADS: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];

/// The drawing.
pub fn svg(curves: &[(Limits, Vec<(f64, f64)>)]) -> String {
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>Calls answered in time, by load</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"24\" y=\"34\">Calls answered in time, by load</text>\n\
         <text class=\"faint\" x=\"24\" y=\"54\">of what is offered, or of the capacity if that is less; load \
         as a multiple of the capacity, logarithmic</text>\n",
        WIDTH - 1.0,
        HEIGHT - 1.0
    );
    for percent in [0, 25, 50, 75, 100] {
        let y = up(f64::from(percent) / 100.0);
        let _ = writeln!(
            drawing,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"faint\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for load in LOADS {
        let (x, y) = (across(load), HEIGHT - BOTTOM + 18.0);
        let _ = writeln!(
            drawing,
            "<text class=\"faint\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{load}x</text>"
        );
    }
    for (number, (limits, points)) in curves.iter().enumerate() {
        let class = match limits {
            Limits::None => "none",
            Limits::ByHand => "hand",
            Limits::Learnt => "learnt",
        };
        let line: Vec<_> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
        let x = WIDTH - 380.0 + 120.0 * number as f64;
        let _ = writeln!(
            drawing,
            "<polyline class=\"{class}\" points=\"{}\"/>\
             <polyline class=\"{class}\" points=\"{x},70 {},70\"/><text x=\"{}\" y=\"74\">{}</text>",
            line.join(" "),
            x + 18.0,
            x + 24.0,
            limits.name()
        );
    }
    drawing + "</svg>\n"
}

fn across(load: f64) -> f64 {
    let [first, .., last] = LOADS;
    LEFT + (load / first).ln() / (last / first).ln() * (WIDTH - LEFT - RIGHT)
}

fn up(part: f64) -> f64 {
    HEIGHT - BOTTOM - part.min(1.05) * (HEIGHT - TOP - BOTTOM)
}
