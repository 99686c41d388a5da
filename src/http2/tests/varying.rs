//! A field whose value varies is appended to a cached block.

use std::sync::Arc;

use crate::http::{
    Connection as _, Event, Field, HeaderPool, Headers, Limits, Name, OpenError, Outgoing, Tag,
    Varying,
};
use crate::http2::Connection;

/// A list and its varying field.
#[derive(Clone, Copy)]
struct List<'a>(&'a Headers, u32);

impl List<'_> {
    fn value(self) -> String {
        format!("{}u", self.1)
    }
}

impl<'a> Outgoing<'a> for List<'a> {
    fn fields(self) -> impl Iterator<Item = Field<'a>> + Clone {
        self.0.iter()
    }

    fn varying(self) -> Option<Varying> {
        Varying::new(Name::GrpcTimeout, self.value().as_bytes())
    }

    fn asks_for_head(self) -> bool {
        false
    }

    fn tag(self) -> Option<Tag> {
        self.0.tag()
    }
}

/// A list that comes again and again.
fn tagged(pool: &mut HeaderPool) -> Headers {
    let mut list = Headers::new();
    let fields = [(Name::Method, "POST"), (Name::Scheme, "http"), (Name::Path, "/a.B/C")];
    fields.into_iter().for_each(|(name, value)| list.add(name, value.as_bytes()));
    list.add_named(b"x-a", b"b");
    pool.tag(&mut list);
    list
}

/// Delivers the output of `from` to `to`; returns the heads of requests.
fn carry(from: &mut Connection, to: &mut Connection, pool: &mut HeaderPool) -> Vec<Headers> {
    let (mut heads, mut input) = (Vec::new(), from.output().bytes());
    let whole = input.len();
    while let Some(event) = to.receive(&mut input, 0, pool, |_, data, _| data.len()).unwrap() {
        if let Event::Request { headers, .. } = event {
            heads.push(headers);
        }
    }
    from.output().advance(whole);
    heads
}

#[test]
fn a_remembered_block_and_a_field_that_varies_are_one_list() {
    let mut pool = HeaderPool::default();
    let list = tagged(&mut pool);
    let mut client = Connection::client(Arc::new(Limits::upstream()));
    let mut server = Connection::server(Arc::new(Limits::edge()));
    carry(&mut client, &mut server, &mut pool);
    carry(&mut server, &mut client, &mut pool);
    let mut bytes = Vec::new();
    for left in (100_000..100_010).rev() {
        let list = List(&list, left);
        client.open(list, true, 0).unwrap();
        bytes.push(client.output_len());
        let [head] = carry(&mut client, &mut server, &mut pool).try_into().unwrap();
        let mut expected = list.0.clone();
        expected.add(Name::GrpcTimeout, list.value().as_bytes());
        assert_eq!(head, expected);
    }
    // The first one fills the table; the second one's block is cached, without the varying value.
    assert!(bytes[0] > bytes[1], "{bytes:?}");
    assert!(bytes[2..].iter().all(|len| *len <= bytes[1]), "{bytes:?}");
}

#[test]
fn the_varying_field_counts_towards_the_list_limit() {
    let mut pool = HeaderPool::default();
    let list = tagged(&mut pool);
    let size = list.list_size() + "grpc-timeout".len() + "1u".len() + 32;
    for (most, taken) in [(size, Ok(())), (size - 1, Err(OpenError::TooLarge))] {
        let mut client = Connection::client(Arc::new(Limits::upstream()));
        let limits = Limits { header_size: u32::try_from(most).unwrap(), ..Limits::edge() };
        let mut server = Connection::server(Arc::new(limits));
        carry(&mut client, &mut server, &mut pool);
        carry(&mut server, &mut client, &mut pool);
        assert_eq!(client.open(List(&list, 1), true, 0).map(|_| ()), taken);
    }
}

#[test]
fn its_value_is_short() {
    let longest = [b'1'; Varying::MAX_LEN];
    assert_eq!(Varying::new(Name::GrpcTimeout, &longest).unwrap().field().value, longest);
    assert_eq!(Varying::new(Name::GrpcTimeout, &[b'1'; Varying::MAX_LEN + 1]), None);
    assert_eq!(Varying::new(Name::GrpcTimeout, &[b'1'; 300]), None);
}
