//! Compiles the protocol buffers of the control API, of metrics, of etcd and of the tests, without a
//! system protoc, and says which commit is built, and of which modules.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROTO: &str = "proto/equipoise/control/v1/control.proto";
const EXPOSITION: &str = "proto/io/prometheus/client/metrics.proto";
const ETCD: &str = "proto/etcd/rpc.proto";
const TESTS: &str = "tests/proto/echo.proto";
const ETCD_WRITER: &str = "tests/proto/etcd.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    println!("cargo:rerun-if-changed={EXPOSITION}");
    println!("cargo:rerun-if-changed=proto/etcd");
    println!("cargo:rerun-if-changed=tests/proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_file(PROTO)?;
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("control.binpb");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    let exposition = protox::compile([EXPOSITION], ["proto"])?;
    tonic_prost_build::configure().compile_fds(exposition)?;
    let etcd = protox::compile([ETCD], ["proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(etcd)?;
    let tests = protox::compile([TESTS], ["tests/proto"])?;
    tonic_prost_build::configure().compile_fds(tests)?;
    // In a folder of its own: the package is that of the part which is spoken.
    let folder = PathBuf::from(std::env::var("OUT_DIR")?).join("tests");
    std::fs::create_dir_all(&folder)?;
    let writer = protox::compile([ETCD_WRITER], ["tests/proto"])?;
    tonic_prost_build::configure().build_server(false).out_dir(folder).compile_fds(writer)?;
    let mut parts = String::new();
    list_modules(Path::new("src"), env!("CARGO_PKG_NAME"), &mut parts)?;
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("modules.txt"), parts)?;
    println!("cargo:rerun-if-changed=src");
    let version = format!("{}{}", env!("CARGO_PKG_VERSION"), commit());
    println!("cargo:rustc-env=EQUIPOISE_VERSION={version}");
    Ok(())
}

/// The modules in `folder`, which is that of the module `path`, one a line.
fn list_modules(folder: &Path, path: &str, list: &mut String) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        let Some(name) = file.file_stem().and_then(|name| name.to_str()) else { continue };
        let inner = format!("{path}::{name}");
        if file.is_dir() {
            list_modules(&file, &inner, list)?;
        } else if file.extension().is_some_and(|kind| kind == "rs") {
            writeln!(list, "{inner}")?;
        }
    }
    Ok(())
}

/// The commit and its date, in parentheses. Outside a checkout of its own a build has none.
fn commit() -> String {
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| exists(log)) {
        println!("cargo:rerun-if-changed={log}");
    }
    let here = std::env::var("CARGO_MANIFEST_DIR").ok();
    let ours = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| Some(top) == here);
    let commit = git(&["log", "-1", "--format= (%h, %cd)", "--date=short", "--abbrev=9"]);
    commit.filter(|_| ours).unwrap_or_default()
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// What git says, if there is git and it knows.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim_end().to_owned())
}
