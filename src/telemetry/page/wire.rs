//! Protobuf wire format, encoded straight into the output. Field numbers are below 16, so that a
//! tag is one byte; the frequent fields of the exposition format are.

/// Wire types.
const VARINT: u8 = 0;
const FIXED: u8 = 1;
const BYTES: u8 = 2;

fn key(message: &mut Vec<u8>, number: u8, wire_type: u8) {
    message.push(number << 3 | wire_type);
}

/// Writes a bare varint, such as a length.
pub(super) fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Zigzag encoding: numbers near 0 become small, whatever their sign.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn uint(message: &mut Vec<u8>, number: u8, value: u64) {
    key(message, number, VARINT);
    varint(message, value);
}

pub(super) fn sint(message: &mut Vec<u8>, number: u8, value: i64) {
    uint(message, number, zigzag(value));
}

pub(super) fn double(message: &mut Vec<u8>, number: u8, value: f64) {
    key(message, number, FIXED);
    message.extend_from_slice(&value.to_le_bytes());
}

/// Writes a length-delimited field: a string or a message.
pub(super) fn bytes(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    key(message, number, BYTES);
    varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

/// Writes a submessage of less than 128 bytes, whose content `fill` writes.
pub(super) fn small(message: &mut Vec<u8>, number: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    key(message, number, BYTES);
    let length = message.len();
    message.push(0);
    fill(message);
    let written = message.len() - length - 1;
    debug_assert!(written < 0x80);
    if let Some(length) = message.get_mut(length) {
        *length = written as u8;
    }
}

/// Writes a packed repeated field.
pub(super) fn packed_sints(message: &mut Vec<u8>, number: u8, values: &[i64]) {
    let mut packed = Vec::with_capacity(2 * values.len());
    values.iter().for_each(|value| varint(&mut packed, zigzag(*value)));
    bytes(message, number, &packed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding;

    #[test]
    fn all_is_written_as_prost_does() {
        for value in [0, 1, -1, 63, -64, 64, 127, 128, 300, -70_000, i64::MAX, i64::MIN] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            uint(&mut ours, 1, value as u64);
            sint(&mut ours, 5, value);
            double(&mut ours, 15, value as f64);
            packed_sints(&mut ours, 13, &[value, 0, -value.max(-9)]);
            bytes(&mut ours, 2, &[7; 200]);
            small(&mut ours, 3, |message| uint(message, 2, value as u64));
            encoding::uint64::encode(1, &(value as u64), &mut theirs);
            encoding::sint64::encode(5, &value, &mut theirs);
            encoding::double::encode(15, &(value as f64), &mut theirs);
            encoding::sint64::encode_packed(13, &[value, 0, -value.max(-9)], &mut theirs);
            encoding::bytes::encode(2, &vec![7; 200], &mut theirs);
            let mut inner = Vec::new();
            encoding::uint64::encode(2, &(value as u64), &mut inner);
            encoding::bytes::encode(3, &inner, &mut theirs);
            assert_eq!(ours, theirs, "{value}");
        }
    }
}
