//! Compiles the protocol buffers of the control API and of the tests, without a system protoc.

use std::error::Error;
use std::path::PathBuf;

const PROTO: &str = "proto/equipoise/control/v1/control.proto";
const TESTS: &str = "tests/proto/echo.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    println!("cargo:rerun-if-changed={TESTS}");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_file(PROTO)?;
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("control.binpb");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    let tests = protox::compile([TESTS], ["tests/proto"])?;
    tonic_prost_build::configure().compile_fds(tests)?;
    Ok(())
}
