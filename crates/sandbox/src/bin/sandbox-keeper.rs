//! A program that is nothing but a keeper, for this crate's own tests.

fn main() {
    sandbox::entry();
    std::process::exit(2);
}
