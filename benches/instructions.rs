//! So many unary calls from end to end through the codec, `with-deadline` or without, for whoever counts
//! their instructions: `benches/instructions/run`.

#[path = "codec/line.rs"]
#[allow(dead_code)] // others use the rest
mod line;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let calls = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(line::BATCH);
    let deadline = arguments.iter().any(|argument| argument == "with-deadline");
    let mut line = line::Line::new(100, deadline);
    for _ in 0..calls / line::BATCH {
        line.batch();
    }
    println!("{calls} calls");
}
