//! Interned field names: those that routing, gRPC and the hop-by-hop rules look up, by id, so that
//! no string is compared twice.

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident $text:literal),* $(,)?) => {
        /// A known field name, or [`Name::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            /// Any other name.
            Other,
            $($(#[$doc])* $variant),*
        }

        impl Name {
            /// The number of ids.
            pub(crate) const COUNT: usize = 1 + [$(Name::$variant),*].len();

            /// The id of a name in lower case.
            pub const fn of(name: &[u8]) -> Name {
                $(const $variant: &[u8] = $text.as_bytes();)*
                #[allow(non_upper_case_globals)]
                match name { $($variant => Name::$variant,)* _ => Name::Other }
            }

            /// The name in lower case; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self { Name::Other => "", $(Name::$variant => $text),* }
            }
        }
    };
}

#[allow(non_upper_case_globals)]
mod names_impl {
    names! {
        /// Pseudo-header.
        Method ":method",
        /// Pseudo-header.
        Scheme ":scheme",
        /// Pseudo-header.
        Authority ":authority",
        /// Pseudo-header.
        Path ":path",
        /// Pseudo-header.
        Status ":status",
        /// Pseudo-header of extended CONNECT.
        Protocol ":protocol",
        /// Hop-by-hop.
        Connection "connection",
        /// Hop-by-hop.
        KeepAlive "keep-alive",
        /// Hop-by-hop.
        ProxyConnection "proxy-connection",
        /// Hop-by-hop.
        TransferEncoding "transfer-encoding",
        /// Hop-by-hop.
        Upgrade "upgrade",
        /// Hop-by-hop but for `trailers`.
        Te "te",
        /// The authority of HTTP/1.1.
        Host "host",
        /// Framing.
        ContentLength "content-length",
        /// Distinguishes gRPC from other requests.
        ContentType "content-type",
        /// May come in crumbs.
        Cookie "cookie",
        /// Asks for `100 Continue`.
        Expect "expect",
        /// Stable over a connection.
        UserAgent "user-agent",
        /// Stable over a connection.
        AcceptEncoding "accept-encoding",
        /// Secret.
        Authorization "authorization",
        /// Changes each second.
        Date "date",
        /// The remaining deadline.
        GrpcTimeout "grpc-timeout",
        /// How a call ended.
        GrpcStatus "grpc-status",
        /// The error message of a call.
        GrpcMessage "grpc-message",
        /// Compression of the messages.
        GrpcEncoding "grpc-encoding",
        /// Compressions that the sender accepts.
        GrpcAcceptEncoding "grpc-accept-encoding",
        /// Differs on every request.
        Traceparent "traceparent",
        /// Differs on every request.
        Tracestate "tracestate",
        /// Differs on every request.
        XRequestId "x-request-id",
        /// The peers that proxies received the request from.
        Forwarded "forwarded",
        /// The peers that proxies received the request from.
        XForwardedFor "x-forwarded-for",
        /// The scheme of the request at the first proxy.
        XForwardedProto "x-forwarded-proto",
        /// The host of the request at the first proxy.
        XForwardedHost "x-forwarded-host",
        /// The certificates of clients, as proxies have verified them.
        XForwardedClientCert "x-forwarded-client-cert",
    }
}
pub use names_impl::Name;

impl Name {
    /// Whether the name begins with a colon.
    pub const fn is_pseudo(self) -> bool {
        matches!(
            self,
            Name::Method
                | Name::Scheme
                | Name::Authority
                | Name::Path
                | Name::Status
                | Name::Protocol
        )
    }
}
