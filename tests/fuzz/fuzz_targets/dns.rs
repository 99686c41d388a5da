//! Any answer of a name server: hickory reads it, and of each SRV record an address may come.
#![no_main]

use equipoise::model::Address;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::from_vec(bytes) else { return };
    for record in &message.answers {
        if let RData::SRV(service) = &record.data {
            let target = service.target.to_string();
            let address = format!("{}:{}", target.trim_end_matches('.'), service.port);
            if let Ok(address) = Address::parse(&address) {
                assert!(Address::parse(address.as_str()).is_ok_and(|again| again == address));
            }
        }
    }
});
