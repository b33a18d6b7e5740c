//! `galen-crash`: tries points of a node's life at which it is killed, loses power, or its disk fails or lies.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod command;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> std::process::ExitCode {
    eprintln!("galen-crash traces processes as Linux on x86-64 lets it, and runs nowhere else");
    std::process::ExitCode::FAILURE
}
