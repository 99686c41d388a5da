use std::str::FromStr;
use std::sync::Arc;

use dashmap::DashMap;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::A;
use tokio::net::UdpSocket;

use super::*;

/// Answers by name, each a code and records.
type Zone = Arc<DashMap<String, (ResponseCode, Vec<RData>)>>;

/// Name servers with this zone, and a search list.
async fn servers(zone: &Zone, search: &[&str]) -> Servers {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let zone = Arc::clone(zone);
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let question = Message::from_vec(&packet[..len]).unwrap();
            let query = question.queries[0].clone();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.add_query(query.clone());
            let found = zone.get(&query.name().to_string());
            let (code, records) = found
                .map_or((ResponseCode::NXDomain, Vec::new()), |found| (found.0, found.1.clone()));
            answer.metadata.response_code = code;
            for data in records {
                let wanted = [query.query_type(), RecordType::CNAME];
                if wanted.contains(&data.record_type()) {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 7, data));
                }
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![connection]);
    let search = search.iter().map(|domain| name(domain)).collect();
    let config = ResolverConfig::from_parts(None, search, vec![server]);
    Servers::new(config, ResolverOpts::default(), FirstPart::Refused).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn address(last: u8) -> (ResponseCode, Vec<RData>) {
    (ResponseCode::NoError, vec![RData::A(A::new(10, 0, 0, last))])
}

fn failure() -> (ResponseCode, Vec<RData>) {
    (ResponseCode::ServFail, Vec::new())
}

fn told(families: &Families) -> Result<Vec<String>, LookupError> {
    let text = |found: &Records<IpAddr>| found.records.iter().map(IpAddr::to_string).collect();
    families.v4.as_ref().map(text).map_err(Clone::clone)
}

fn one(ip: &str) -> Result<Vec<String>, LookupError> {
    Ok(vec![ip.into()])
}

#[tokio::test]
async fn a_name_that_fails_does_not_become_another_of_the_search_list() {
    let zone = Zone::default();
    let servers = servers(&zone, &["near.", "far."]).await;
    let orders = name("orders");
    let mut known = None;
    zone.insert("orders.far.".into(), address(2));
    assert_eq!(told(&servers.families(&orders, &mut known).await), one("10.0.0.2"));
    assert_eq!(known, Some(name("orders.far.")));
    // One that comes before it fails, and may always have: it is still that one.
    zone.insert("orders.near.".into(), failure());
    assert_eq!(told(&servers.families(&orders, &mut known).await), one("10.0.0.2"));
    // It fails itself: whatever comes behind is something else.
    zone.remove("orders.near.");
    zone.insert("orders.far.".into(), failure());
    zone.insert("orders.".into(), address(3));
    told(&servers.families(&orders, &mut known).await).unwrap_err();
    // It exists no more.
    zone.remove("orders.far.");
    assert_eq!(told(&servers.families(&orders, &mut known).await), one("10.0.0.3"));
    // None exists, or it is not known whether one does.
    zone.remove("orders.");
    assert_eq!(told(&servers.families(&orders, &mut known).await), Ok(vec![]));
    zone.insert("orders.near.".into(), failure());
    told(&servers.families(&orders, &mut known).await).unwrap_err();
}

#[tokio::test]
async fn services_behind_aliases_are_found() {
    let zone = Zone::default();
    let servers = servers(&zone, &[]).await;
    let alias = |to: &str| (ResponseCode::NoError, vec![RData::CNAME(CNAME(name(to)))]);
    zone.insert("_grpc._tcp.a.".into(), alias("_grpc._tcp.b."));
    zone.insert("_grpc._tcp.b.".into(), alias("_grpc._tcp.c."));
    let srv = RData::SRV(SRV::new(1, 2, 80, name("host.example.")));
    zone.insert("_grpc._tcp.c.".into(), (ResponseCode::NoError, vec![srv]));
    let hosts = async |service: &str| servers.services(&name(service), &mut None).await;
    let expected = Srv { priority: 1, weight: 2, port: 80, target: "host.example".into() };
    assert_eq!(hosts("_grpc._tcp.a").await.unwrap().records, [expected]);
    assert_eq!(hosts("_grpc._tcp.none").await.unwrap().records, []);
    zone.insert("_grpc._tcp.x.".into(), alias("_grpc._tcp.y."));
    zone.insert("_grpc._tcp.y.".into(), alias("_grpc._tcp.x."));
    hosts("_grpc._tcp.x").await.unwrap_err();
}
