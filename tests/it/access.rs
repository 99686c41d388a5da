//! Who may steer: a table of attempts against every method, over real TLS; rotation; the Unix socket.

mod attempts;
mod roles;
mod rotation;
mod socket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use equipoise::access::{digest, method};
use equipoise::app;
use equipoise::control::proto::FILE_DESCRIPTOR_SET;
use equipoise::model::SocketAddress;
use equipoise::text::SecretText;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};
use rcgen::{CertificateParams, KeyPair, SanType};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::support::certificates::Authority;

/// The name that the gateways' certificates are for.
const NAME: &str = "gw.example";

/// A message whose first field is a text: that of every request that names a service or route.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// Anything.
#[derive(Clone, PartialEq, prost::Message)]
struct Anything {}

/// A line of a token file.
fn line(name: &str, role: &str, token: &str, expiry: &str) -> String {
    format!("{name} {role} {} {expiry}\n", digest(&SecretText::new(token.into())))
}

/// A configuration of the services `orders`, `orders-eu` and `carts`, and a route that splits over two
/// of them.
fn configuration(control: &str) -> String {
    format!(
        "workers: 1\nlisteners: [ 127.0.0.1:0 ]\nmetrics: 127.0.0.1:0\ncontrol: {control}\n\
         services:\n  orders: {{ endpoints: [ 127.0.0.1:1, 127.0.0.1:2 ] }}\n  \
         orders-eu: {{ endpoints: [ 127.0.0.1:1 ] }}\n  carts: {{ endpoints: [ 127.0.0.1:1, 127.0.0.1:2 ] }}\n\
         routes:\n  - {{ name: both, split: [ {{ service: orders }}, {{ service: carts }} ] }}\n  \
         - {{ match: {{ path: /eu }}, service: orders-eu }}\n"
    )
}

/// A gateway whose files are in `folder`.
async fn start(control: &str, folder: &Path) -> app::Gateway {
    let plan = equipoise::config::parse(&configuration(control), folder);
    app::Gateway::start(plan.unwrap_or_else(|report| panic!("{}", report.pretty()))).await.unwrap()
}

async fn reload(gateway: &mut app::Gateway, control: &str, folder: &Path) {
    let plan = equipoise::config::parse(&configuration(control), folder);
    assert_eq!(gateway.reload(plan).await, app::Reloaded::Done);
}

/// Where it listens over TCP.
fn tcp(gateway: &app::Gateway) -> SocketAddr {
    gateway.control().iter().find_map(SocketAddress::ip).unwrap()
}

/// A certificate with these names.
fn issue(authority: &Authority, name: &str, uris: &[&str], dns: &[&str]) -> Identity {
    let mut params = CertificateParams::default();
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    params.subject_alt_names = uris.chain(dns).collect();
    authority.issue_by(name, params, &KeyPair::generate().unwrap())
}

/// How somebody comes: with which certificate and token.
#[derive(Clone, Default)]
struct Who {
    identity: Option<Identity>,
    token: Option<String>,
}

impl Who {
    fn token(token: &str) -> Who {
        Who { token: Some(token.into()), ..Who::default() }
    }

    fn certificate(identity: Identity) -> Who {
        Who { identity: Some(identity), ..Who::default() }
    }

    async fn connect(
        &self,
        gateway: SocketAddr,
        authority: &Authority,
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(authority.certificate()).domain_name(NAME);
        let tls = match &self.identity {
            Some(identity) => tls.identity(identity.clone()),
            None => tls,
        };
        let endpoint = Channel::from_shared(format!("https://{gateway}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = AsciiMetadataValue::try_from(format!("Bearer {token}")).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Calls a method for a service; returns whether it answers, or why not.
    async fn call(&self, channel: &Channel, method: &Method, of: &str) -> Result<(), Status> {
        let mut client = tonic::client::Grpc::new(channel.clone());
        let unready = |error| Status::unavailable(format!("{error:?}"));
        client.ready().await.map_err(unready)?;
        let message = Named { name: method.names(of).unwrap_or_default() };
        let request = self.sign(tokio_stream::once(message));
        let path = PathAndQuery::try_from(method.path.clone()).unwrap();
        let codec = ProstCodec::<Named, Anything>::default();
        let mut answers = client.streaming(request, path, codec).await?.into_inner();
        answers.message().await.map(|_| ())
    }

    /// The code with which a method answers, OK included.
    async fn code(&self, channel: &Channel, method: &Method, of: &str) -> Code {
        match self.call(channel, method, of).await {
            Ok(()) => Code::Ok,
            Err(status) => status.code(),
        }
    }
}

/// A method of the API.
#[derive(Clone, Debug)]
struct Method {
    path: String,
    /// The first field of its request, if that is a text.
    first: Option<String>,
}

impl Method {
    /// What the first field of its request has to be for a call to be about a service.
    fn names(&self, service: &str) -> Option<String> {
        match self.first.as_deref() {
            Some("route") => Some("both".into()),
            Some("service") => Some(service.into()),
            _ => None,
        }
    }

    fn rule(&self) -> &'static equipoise::access::MethodRule {
        method(&self.path).unwrap_or_else(|| panic!("{} has no row", self.path))
    }
}

/// Every method of the control API and of what is served beside it.
fn methods() -> Vec<Method> {
    let sets = [
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.map(|set| FileDescriptorSet::decode(set).unwrap().file).concat();
    let mut first = BTreeMap::new();
    for file in &files {
        for message in &file.message_type {
            let field = message.field.iter().find(|field| field.number == Some(1));
            let text = field.filter(|field| field.r#type() == Type::String);
            let name = format!(".{}.{}", file.package(), message.name());
            first.insert(name, text.map(|field| field.name().to_owned()));
        }
    }
    let mut methods = Vec::new();
    for file in &files {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| Method {
                path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                first: first.get(method.input_type()).cloned().flatten(),
            }));
        }
    }
    assert!(methods.len() > 28, "{methods:?}");
    methods
}
