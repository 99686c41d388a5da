//! The outcomes as a drawing: a panel for each case, a line for each policy, time on a logarithmic
//! axis.

use std::fmt::Write;

use super::Outcome;
use super::simulation::Summary;

const STYLE: &str = "\
text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .case { font-size: 14px; font-weight: 600 }
.faint { fill: #59636e; font-size: 11px } .own { font-weight: 700 } .paper { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #e3e8ed } .span { stroke: #afb8c1; stroke-width: 2 } .mark { fill: #59636e }
.hollow { fill: #ffffff; stroke: #59636e; stroke-width: 2 } .tail { stroke: #59636e; stroke-width: 2.5 }
.own.span { stroke: #80b9f7 } .own.mark { fill: #0969da } .own.hollow, .own.tail { stroke: #0969da }
.failed { fill: #cf222e; font-size: 11px }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 } .paper { fill: #0d1117; stroke: #3d444d } .grid { stroke: #2a3038 }
  .span { stroke: #57606a } .mark { fill: #9198a1 } .hollow { fill: #0d1117; stroke: #9198a1 } .tail { stroke: #9198a1 }
  .own.span { stroke: #1f4f8f } .own.mark { fill: #4493f8 } .own.hollow, .own.tail { stroke: #4493f8 }
  .failed { fill: #ff7b72 }
}";

/// Panels side by side.
const COLUMNS: usize = 2;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 84.0;
const LINE: f64 = 23.0;
/// Of a panel: all of it, where its axis begins, how long that is, and what is above and below.
const WIDTH: f64 = 500.0;
const AXIS: (f64, f64) = (168.0, 264.0);
const ABOVE: f64 = 30.0;
const BELOW: f64 = 40.0;
/// Milliseconds that the axis begins and ends with, and those with a label.
const RANGE: (f64, f64) = (3.0, 1_000.0);
const TICKS: [f64; 6] = [3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0];
/// Fewer failures are not worth a word.
const WORTH_A_WORD: f64 = 0.0005;

/// The drawing.
pub fn svg(outcomes: &[Outcome]) -> String {
    let lines = outcomes.iter().map(|outcome| outcome.rows.len()).max().unwrap_or(0);
    let panel = ABOVE + lines as f64 * LINE + BELOW;
    let width = 2.0 * MARGIN + COLUMNS as f64 * WIDTH;
    let height = HEAD + outcomes.len().div_ceil(COLUMNS) as f64 * panel;
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Latencies by case and policy</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"34\">How long a request takes, by policy</text>\n",
        width - 1.0,
        height - 1.0,
    );
    legend(&mut drawing);
    for (number, outcome) in outcomes.iter().enumerate() {
        let x = MARGIN + (number % COLUMNS) as f64 * WIDTH;
        let y = HEAD + (number / COLUMNS) as f64 * panel;
        let _ = writeln!(drawing, "<g transform=\"translate({x} {y})\">");
        draw(&mut drawing, outcome);
        drawing.push_str("</g>\n");
    }
    drawing + "</svg>\n"
}

fn legend(drawing: &mut String) {
    let y = 57.0;
    let _ = writeln!(
        drawing,
        "<text class=\"faint\" x=\"{MARGIN}\" y=\"{}\">milliseconds, logarithmic; the left the better</text>",
        y + 4.0
    );
    for (x, kind, word) in
        [(300.0, "hollow", "p50"), (356.0, "mark", "p99"), (412.0, "tail", "p99.9")]
    {
        mark(drawing, kind, "", x, y);
        let _ = writeln!(drawing, "<text x=\"{}\" y=\"{}\">{word}</text>", x + 10.0, y + 4.0);
    }
    let _ = writeln!(
        drawing,
        "<text class=\"failed\" x=\"484\" y=\"{}\">share of requests that failed</text>",
        y + 4.0
    );
}

fn draw(drawing: &mut String, Outcome { case, rows }: &Outcome) {
    let bottom = ABOVE + rows.len() as f64 * LINE;
    let _ = writeln!(drawing, "<text class=\"case\" x=\"0\" y=\"16\">{}</text>", case.name);
    for tick in TICKS {
        let x = across(tick);
        let _ = writeln!(
            drawing,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{ABOVE}\" y2=\"{bottom}\"/>\
             <text class=\"faint\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 14.0
        );
    }
    for (number, (name, _, summary)) in rows.iter().enumerate() {
        let own = if number == 0 { " own" } else { "" };
        let y = ABOVE + (number as f64 + 0.5) * LINE;
        let _ =
            writeln!(drawing, "<text class=\"{own}\" x=\"0\" y=\"{:.1}\">{name}</text>", y + 4.0);
        line(drawing, summary, own, y);
    }
}

fn line(drawing: &mut String, of: &Summary, own: &str, y: f64) {
    let [p50, p99, p999] = [of.p50, of.p99, of.p999].map(across);
    let _ = writeln!(
        drawing,
        "<line class=\"span{own}\" x1=\"{p50:.1}\" x2=\"{p999:.1}\" y1=\"{y}\" y2=\"{y}\"/>"
    );
    mark(drawing, "tail", own, p999, y);
    mark(drawing, "mark", own, p99, y);
    mark(drawing, "hollow", own, p50, y);
    if of.failures > WORTH_A_WORD {
        let _ = writeln!(
            drawing,
            "<text class=\"failed\" x=\"{:.1}\" y=\"{:.1}\">{:.1} %</text>",
            AXIS.0 + AXIS.1 + 9.0,
            y + 4.0,
            of.failures * 100.0
        );
    }
}

fn mark(drawing: &mut String, kind: &str, own: &str, x: f64, y: f64) {
    let _ = match kind {
        "tail" => writeln!(
            drawing,
            "<line class=\"tail{own}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>",
            y - 6.0,
            y + 6.0
        ),
        _ => {
            writeln!(drawing, "<circle class=\"{kind}{own}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"4.5\"/>")
        }
    };
}

/// Where so many milliseconds are on the axis.
fn across(millis: f64) -> f64 {
    let (begin, end) = RANGE;
    let part = (millis.clamp(begin, end) / begin).ln() / (end / begin).ln();
    AXIS.0 + part * AXIS.1
}
