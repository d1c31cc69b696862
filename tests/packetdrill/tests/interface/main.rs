//! The library through its C interface, loaded by a C program as packetdrill loads it.

mod calls;
mod driver;
mod scripts;
mod stack;
