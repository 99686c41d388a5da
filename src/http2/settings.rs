//! SETTINGS (RFC 9113, section 6.5).

use super::frame::{DEFAULT_WINDOW, MAX_31, MIN_FRAME_SIZE};
use crate::http::{ConnectionError, ErrorCode, Fault};

mod id {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The entries of a payload, in order.
fn entries(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).filter_map(|entry| match *entry {
        [i0, i1, v0, v1, v2, v3] => {
            Some((u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3])))
        }
        _ => None,
    })
}

/// Each SETTINGS_HEADER_TABLE_SIZE in a payload: the encoder has to announce the smallest in
/// between (RFC 7541, section 4.2).
pub fn table_sizes(payload: &[u8]) -> impl Iterator<Item = u32> {
    entries(payload).filter(|(id, _)| *id == id::HEADER_TABLE_SIZE).map(|(_, size)| size)
}

/// Whether a payload enables server push.
pub fn enable_push(payload: &[u8]) -> bool {
    entries(payload).any(|entry| entry == (id::ENABLE_PUSH, 1))
}

/// A payload with SETTINGS_INITIAL_WINDOW_SIZE.
pub fn initial_window(size: u32) -> [u8; 6] {
    let ([i0, i1], [v0, v1, v2, v3]) = (id::INITIAL_WINDOW_SIZE.to_be_bytes(), size.to_be_bytes());
    [i0, i1, v0, v1, v2, v3]
}

/// The settings of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub header_table_size: u32,
    pub enable_push: bool,
    pub max_streams: u32,
    pub initial_window: u32,
    pub max_frame_size: u32,
    pub max_header_list: u32,
}

impl Default for Settings {
    /// The initial values.
    fn default() -> Settings {
        Settings {
            header_table_size: 4096,
            enable_push: true,
            max_streams: u32::MAX,
            initial_window: DEFAULT_WINDOW,
            max_frame_size: MIN_FRAME_SIZE,
            max_header_list: u32::MAX,
        }
    }
}

impl Settings {
    /// Applies a SETTINGS payload, whose length is a multiple of six.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        entries(payload).try_for_each(|(id, value)| self.set(id, value))
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), ConnectionError> {
        match id {
            id::HEADER_TABLE_SIZE => self.header_table_size = value,
            id::ENABLE_PUSH => {
                self.enable_push = match value {
                    0 => false,
                    1 => true,
                    _ => return Err(ConnectionError::protocol("ENABLE_PUSH is neither 0 nor 1")),
                }
            }
            id::MAX_CONCURRENT_STREAMS => self.max_streams = value,
            id::INITIAL_WINDOW_SIZE if value > MAX_31 => {
                let detail = "INITIAL_WINDOW_SIZE is above 2^31-1";
                let code = ErrorCode::FLOW_CONTROL_ERROR;
                return Err(ConnectionError::new(code, Fault::FlowControl, detail));
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window = value,
            id::MAX_FRAME_SIZE if !(MIN_FRAME_SIZE..1 << 24).contains(&value) => {
                return Err(ConnectionError::protocol("MAX_FRAME_SIZE is out of range"));
            }
            id::MAX_FRAME_SIZE => self.max_frame_size = value,
            id::MAX_HEADER_LIST_SIZE => self.max_header_list = value,
            _ => {}
        }
        Ok(())
    }

    /// The payload for these settings where they differ from the defaults.
    pub fn payload(&self) -> Vec<u8> {
        let default = Settings::default();
        let entries = [
            (id::HEADER_TABLE_SIZE, self.header_table_size, default.header_table_size),
            (id::ENABLE_PUSH, self.enable_push.into(), default.enable_push.into()),
            (id::MAX_CONCURRENT_STREAMS, self.max_streams, default.max_streams),
            (id::INITIAL_WINDOW_SIZE, self.initial_window, default.initial_window),
            (id::MAX_FRAME_SIZE, self.max_frame_size, default.max_frame_size),
            (id::MAX_HEADER_LIST_SIZE, self.max_header_list, default.max_header_list),
        ];
        let mut payload = Vec::with_capacity(36);
        for (id, value, _) in entries.iter().filter(|(_, value, default)| value != default) {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        payload
    }
}
