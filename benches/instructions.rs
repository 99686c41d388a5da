//! So many unary calls from end to end through the codec, for whoever counts their instructions:
//! `benches/instructions/run`.

#[path = "codec/line.rs"]
#[allow(dead_code)] // others use the rest
mod line;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let calls = arguments.find_map(|argument| argument.parse().ok()).unwrap_or(line::BATCH);
    let mut line = line::Line::new(100);
    for _ in 0..calls / line::BATCH {
        line.batch();
    }
    println!("{calls} calls");
}
