//! Generated code of the part of etcd's API that is spoken: `proto/etcd`.

/// The API.
#[allow(missing_docs, clippy::all, clippy::too_many_lines)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Keys, and changes of them.
#[allow(missing_docs, clippy::all)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}
