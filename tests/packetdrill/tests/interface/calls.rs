//! What the interface promises beyond single calls: its clock, calls that wait, wrong flags.

use std::process::Command;

use crate::driver::{Driver, hex};

const SECOND: u64 = 1_000_000;

/// Carries packets until neither has any.
fn exchange(one: &mut Driver, other: &mut Driver) {
    while one.packets() + other.packets() > 0 {
        for _ in 0..one.packets() {
            let (_, packet) = one.receive().unwrap();
            other.call(&format!("inject {}", hex(&packet)));
        }
        for _ in 0..other.packets() {
            let (_, packet) = other.receive().unwrap();
            one.call(&format!("inject {}", hex(&packet)));
        }
    }
}

fn tcp_socket(driver: &mut Driver) -> i64 {
    let line = format!(
        "socket {} {} {}",
        libc::AF_INET,
        libc::SOCK_STREAM,
        libc::IPPROTO_TCP
    );
    driver.call(&line).result
}

/// A server that listens at a socket, and its address.
fn server() -> (Driver, i64) {
    let mut server = Driver::start("local=192.0.2.1");
    let fd = tcp_socket(&mut server);
    assert_eq!(server.call(&format!("bind {fd} 192.0.2.1 80")).result, 0);
    assert_eq!(server.call(&format!("listen {fd} 5")).result, 0);
    (server, fd)
}

/// Two ends with a connection between them, and their sockets.
fn connected() -> ((Driver, i64), (Driver, i64)) {
    let (mut server, listening) = server();
    let mut client = Driver::start("");
    let fd = tcp_socket(&mut client);
    let connecting = client.begin(&format!("connect {fd} 192.0.2.1 80"));
    let accepting = server.begin(&format!("accept {listening}"));
    assert!(client.result(connecting).is_none());
    assert!(server.result(accepting).is_none());
    exchange(&mut client, &mut server);
    let (answer, _) = client.result(connecting).unwrap();
    assert_eq!(answer.result, 0);
    let (mut answer, _) = server.result(accepting).unwrap();
    let from: String = answer.next();
    assert_eq!(from, "192.168.0.1");
    ((client, fd), (server, answer.result))
}

#[test]
fn wrong_flags_are_named_and_every_call_fails() {
    let mut driver = Driver::start("engine=linux");
    assert_eq!(driver.call("clock").errno, libc::EINVAL);
    assert_eq!(driver.call("socket 2 1 6").errno, libc::EINVAL);
    assert!(driver.end());

    let mut command = Command::new(env!("PACKETDRILL_TEST_DRIVER"));
    command.arg(crate::driver::library()).arg("engine=linux");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--so_flags: `engine` cannot be `linux`"),
        "{said}"
    );
}

#[test]
fn the_clock_goes_for_whoever_reads_it_again() {
    let mut driver = Driver::start("");
    let start = driver.call("clock").result;
    assert_eq!(driver.call("clock").result, start + 1);
    assert_eq!(driver.call("clock").result, start + 2);
    driver.call("usleep 1000");
    assert_eq!(driver.call("clock").result, start + 1002);
    assert_eq!(driver.call("clock").result, start + 1003);
}

#[test]
fn receiving_ends_when_nothing_will_come() {
    let (mut server, _) = server();
    let before = server.now();
    assert_eq!(server.receive(), None);
    assert!(server.now() < before + 4 * 3600 * SECOND);
}

#[test]
fn receiving_waits_for_what_is_sent_later() {
    let mut client = Driver::start("");
    let fd = tcp_socket(&mut client);
    let start = client.now();
    client.begin(&format!("connect {fd} 192.0.2.1 80"));
    let (first, syn) = client.receive().unwrap();
    let (again, repeated) = client.receive().unwrap();
    assert_eq!(first, start);
    assert_eq!(
        again,
        start + SECOND,
        "RFC 6298: the first timeout is a second"
    );
    assert_eq!(syn.len(), repeated.len());
}

#[test]
fn a_call_that_waited_ends_on_time_for_its_thread() {
    let (mut server, fd) = server();
    let start = server.now();
    let polling = server.begin(&format!("poll {fd} {} 300", libc::POLLIN));
    assert!(server.result(polling).is_none());
    server.sleep_until(start + SECOND);
    let (mut answer, ended) = server.result(polling).unwrap();
    assert_eq!(answer.result, 0);
    assert_eq!(answer.next::<i16>(), 0);
    assert_eq!(ended, start + 300_000);
}

#[test]
fn time_goes_on_within_a_call_of_the_thread_that_drives_it() {
    let (mut server, fd) = server();
    let start = server.now();
    assert_eq!(
        server
            .call(&format!("poll {fd} {} 300", libc::POLLIN))
            .result,
        0
    );
    assert_eq!(server.now(), start + 300_000);
    // Nobody else could bring a connection.
    assert_eq!(server.call(&format!("accept {fd}")).errno, libc::EDEADLK);
}

#[test]
fn freeing_lets_go_whoever_still_waits() {
    let (mut server, fd) = server();
    let accepting = server.begin(&format!("accept {fd}"));
    assert!(server.result(accepting).is_none());
    assert!(server.end());
}

#[test]
fn queues_are_told_by_ioctl() {
    let ((mut client, from), (mut server, to)) = connected();
    assert_eq!(
        client
            .call(&format!("send write {from} 0102030405 0"))
            .result,
        5
    );
    let mut queued = client.call(&format!("ioctl {from} {}", libc::TIOCOUTQ));
    assert_eq!(queued.next::<i32>(), 5);
    exchange(&mut client, &mut server);
    let mut queued = server.call(&format!("ioctl {to} {}", libc::FIONREAD));
    assert_eq!(queued.next::<i32>(), 5);
    let unknown = server.call(&format!("ioctl {to} {}", libc::FIOCLEX));
    assert_eq!(unknown.errno, libc::ENOTTY);
    let mut read = server.call(&format!("recv readv {to} 100 0"));
    assert_eq!(read.octets(), [1, 2, 3, 4, 5]);
    let mut queued = server.call(&format!("ioctl {to} {}", libc::FIONREAD));
    assert_eq!(queued.next::<i32>(), 0);
}

#[test]
fn flags_of_a_socket_are_told() {
    let (mut server, fd) = server();
    let told = server
        .call(&format!("fcntl {fd} {} 0", libc::F_GETFL))
        .result;
    assert_eq!(told, i64::from(libc::O_RDWR));
    server.call(&format!(
        "fcntl {fd} {} {}",
        libc::F_SETFL,
        libc::O_NONBLOCK
    ));
    let told = server
        .call(&format!("fcntl {fd} {} 0", libc::F_GETFL))
        .result;
    assert_eq!(told, i64::from(libc::O_RDWR | libc::O_NONBLOCK));
    assert_eq!(server.call(&format!("accept {fd}")).errno, libc::EAGAIN);
}

#[test]
fn epoll_tells_what_is_ready() {
    let ((mut client, from), (mut server, to)) = connected();
    let set = server.call("epoll_create").result;
    let add = |fd, events| format!("epoll_ctl {set} {} {fd} {events} 77", libc::EPOLL_CTL_ADD);
    let edge = server.call(&add(to, libc::EPOLLIN | libc::EPOLLET));
    assert_eq!(edge.errno, libc::EINVAL);
    assert_eq!(
        server
            .call(&add(to, libc::EPOLLIN | libc::EPOLLONESHOT))
            .result,
        0
    );
    assert_eq!(server.call(&add(to, libc::EPOLLIN)).errno, libc::EEXIST);
    let waiting = server.begin(&format!("epoll_wait {set} -1"));
    assert!(server.result(waiting).is_none());
    client.call(&format!("send send {from} 01 0"));
    exchange(&mut client, &mut server);
    let (mut told, _) = server.result(waiting).unwrap();
    assert_eq!(told.result, 1);
    assert_eq!(
        (told.next::<i32>(), told.next::<u64>()),
        (libc::EPOLLIN, 77)
    );
    assert_eq!(
        server.call(&format!("epoll_wait {set} 0")).result,
        0,
        "told once"
    );
}

#[test]
fn there_are_no_files() {
    let mut driver = Driver::start("");
    assert_eq!(driver.call("pipe").errno, libc::ENOSYS);
    assert_eq!(driver.call("splice").errno, libc::ENOSYS);
}
