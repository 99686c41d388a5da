//! The Huffman code (RFC 7541, appendix B), decoded up to two symbols a step.
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols.
//! So it follows from the lengths alone, and so do the tables here.

/// Bits of a code, by symbol; the last is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const MIN_CODE_LEN: usize = 5;
const MAX_CODE_LEN: usize = 30;
const EOS: u16 = 256;

/// The canonical code: where the codes of each length begin, and their symbols in order.
struct Code {
    /// The first code of a length.
    first: [u32; MAX_CODE_LEN + 1],
    /// Above the last code of a length, as the top of 32 bits.
    end: [u64; MAX_CODE_LEN + 1],
    /// Where in `symbols` those of a length begin.
    offset: [u16; MAX_CODE_LEN + 1],
    symbols: [u16; 257],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Code {
        let mut code = Code {
            first: [0; MAX_CODE_LEN + 1],
            end: [0; MAX_CODE_LEN + 1],
            offset: [0; MAX_CODE_LEN + 1],
            symbols: [0; 257],
        };
        let (mut next, mut count, mut len) = (0, 0, MIN_CODE_LEN);
        while len <= MAX_CODE_LEN {
            code.first[len] = next;
            code.offset[len] = count as u16;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == len {
                    code.symbols[count] = symbol as u16;
                    count += 1;
                    next += 1;
                }
                symbol += 1;
            }
            code.end[len] = (next as u64) << (32 - len);
            next <<= 1;
            len += 1;
        }
        code
    }

    /// The symbol that 32 bits begin with, and the length of its code, which is `len` or more.
    const fn symbol(&self, bits: u32, mut len: usize) -> (u16, usize) {
        while len < MAX_CODE_LEN && bits as u64 >= self.end[len] {
            len += 1;
        }
        let nth = (bits >> (32 - len)) - self.first[len];
        (self.symbols[self.offset[len] as usize + nth as usize], len)
    }
}

/// Bits decoded per step. The codes of most text have 5 to 7 bits, so a step decodes two of them.
const STEP_BITS: usize = 12;

/// The symbols that the next bits stand for.
#[derive(Clone, Copy)]
struct Step {
    /// The first symbol and, if its code ends within the bits, the second.
    symbols: [u8; 2],
    /// Length of the first code; 0 if it is longer than the bits.
    first_len: u8,
    /// Length of the codes together.
    len: u8,
}

static STEPS: [Step; 1 << STEP_BITS] = {
    let code = Code::new();
    let none = Step { symbols: [0; 2], first_len: 0, len: 0 };
    let mut steps = [none; 1 << STEP_BITS];
    let mut index = 0;
    while index < steps.len() {
        let bits = (index as u32) << (32 - STEP_BITS);
        let (first, first_len) = code.symbol(bits, MIN_CODE_LEN);
        if first_len <= STEP_BITS {
            let (second, second_len) = code.symbol(bits << first_len, MIN_CODE_LEN);
            let both = first_len + second_len <= STEP_BITS;
            steps[index] = Step {
                symbols: [first as u8, if both { second as u8 } else { 0 }],
                first_len: first_len as u8,
                len: (first_len + if both { second_len } else { 0 }) as u8,
            };
        }
        index += 1;
    }
    steps
};

/// Appends the decoded string to `out`; none if it has EOS or a wrong padding.
pub(super) fn decode(string: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    // A step writes two bytes even if it keeps one.
    out.resize(start + string.len() * 8 / MIN_CODE_LEN + 2, 0);
    let written = decode_into(string, out.get_mut(start..)?)?;
    out.truncate(start + written);
    Some(())
}

fn decode_into(string: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut bits = Bits { rest: string, window: 0, held: 0 };
    let mut written = 0;
    loop {
        bits.refill();
        let step = STEPS[(bits.window >> (64 - STEP_BITS)) as usize];
        if step.len != 0 && u32::from(step.len) <= bits.held {
            out.get_mut(written..written + 2)?.copy_from_slice(&step.symbols);
            written += 1 + usize::from(step.len != step.first_len);
            bits.take(step.len.into());
            continue;
        }
        // A long code, the last symbol, or the padding.
        let (symbol, len) = CODE.symbol((bits.window >> 32) as u32, MIN_CODE_LEN);
        if len as u32 > bits.held {
            return bits.is_padding().then_some(written);
        }
        if symbol == EOS {
            return None;
        }
        *out.get_mut(written)? = symbol as u8;
        written += 1;
        bits.take(len as u32);
    }
}

/// The next bits of a string. Its end is followed by ones, as in the padding.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, from the top.
    window: u64,
    /// How many of them belong to the string.
    held: u32,
}

impl Bits<'_> {
    /// Makes the window hold at least 32 bits if the string has them.
    fn refill(&mut self) {
        if self.held >= 32 {
            return;
        }
        if let Some((chunk, rest)) = self.rest.split_first_chunk() {
            self.window |= u64::from(u32::from_be_bytes(*chunk)) << (32 - self.held);
            self.held += 32;
            self.rest = rest;
            return;
        }
        for &byte in self.rest {
            self.window |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
        self.rest = &[];
        self.window |= u64::MAX >> self.held;
    }

    fn take(&mut self, count: u32) {
        self.window <<= count;
        self.held -= count;
    }

    /// Whether the remaining bits are less than a byte and all ones.
    fn is_padding(&self) -> bool {
        self.held < 8 && self.window.leading_ones() >= self.held
    }
}

/// Appends `string` in the code; only for tests, as the encoder does not use it.
#[cfg(test)]
pub(super) fn encode(string: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut held) = (0u64, 0);
    for &byte in string {
        let nth = CODE.symbols.iter().position(|&s| s == u16::from(byte)).unwrap();
        let len = usize::from(LENGTHS[usize::from(byte)]);
        let code = CODE.first[len] as usize + nth - usize::from(CODE.offset[len]);
        window = window << len | code as u64;
        held += len;
        while held >= 8 {
            held -= 8;
            out.push((window >> held) as u8);
        }
    }
    if held > 0 {
        out.push((window << (8 - held)) as u8 | 0xff >> held);
    }
}
