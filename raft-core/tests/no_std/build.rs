//! How the program is linked: without start files and standard library. Of the C library it may take what compilers take for
//! granted (`memcpy` and its like); `.ci/no-std` looks that it takes nothing else.

fn main() {
    println!("cargo::rustc-link-arg-bins=-nostartfiles");
    println!("cargo::rustc-link-arg-bins=-lc");
}
