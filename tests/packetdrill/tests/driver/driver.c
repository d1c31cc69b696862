/*
 * Loads the library as packetdrill does, and makes the calls that the standard input names.
 *
 *     driver LIBRARY FLAGS
 *
 * A line is a call with its arguments; octets are in hexadecimal, "-" if there are none. The answer
 * is a line: result, errno, the time, the next deadline (-1: none), packets that were sent and not
 * received, and what else the call gives. A line that begins with "&" makes the call in a thread of
 * its own, and its result is a number; "result NUMBER" is then the result of the call, -2 as long as
 * it waits, followed by the time at which the thread saw it end.
 *
 * The interface is declared here once more, in C, so that one declaration checks the other.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

struct interface {
	void *u;
	void (*free)(void *);
	int (*socket)(void *, int, int, int);
	int (*bind)(void *, int, const struct sockaddr *, socklen_t);
	int (*listen)(void *, int, int);
	int (*accept)(void *, int, struct sockaddr *, socklen_t *);
	int (*connect)(void *, int, const struct sockaddr *, socklen_t);
	ssize_t (*read)(void *, int, void *, size_t);
	ssize_t (*readv)(void *, int, const struct iovec *, int);
	ssize_t (*recv)(void *, int, void *, size_t, int);
	ssize_t (*recvfrom)(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
	ssize_t (*recvmsg)(void *, int, struct msghdr *, int);
	ssize_t (*write)(void *, int, const void *, size_t);
	ssize_t (*writev)(void *, int, const struct iovec *, int);
	ssize_t (*send)(void *, int, const void *, size_t, int);
	ssize_t (*sendto)(void *, int, const void *, size_t, int, const struct sockaddr *,
			  socklen_t);
	ssize_t (*sendmsg)(void *, int, const struct msghdr *, int);
	int (*fcntl)(void *, int, int, ...);
	int (*ioctl)(void *, int, unsigned long, ...);
	int (*close)(void *, int);
	int (*shutdown)(void *, int, int);
	int (*getsockopt)(void *, int, int, int, void *, socklen_t *);
	int (*setsockopt)(void *, int, int, int, const void *, socklen_t);
	int (*poll)(void *, struct pollfd *, nfds_t, int);
	int (*netdev_send)(void *, const void *, size_t);
	int (*netdev_receive)(void *, void *, size_t *, long long *);
	int (*usleep)(void *, useconds_t);
	int (*gettimeofday)(void *, struct timeval *, struct timezone *);
	int (*epoll_create)(void *, int);
	int (*epoll_ctl)(void *, int, int, int, struct epoll_event *);
	int (*epoll_wait)(void *, int, struct epoll_event *, int, int);
	int (*pipe)(void *, int[2]);
	int (*splice)(void *, int, loff_t *, int, loff_t *, size_t, unsigned int);
};

struct view {
	long long now;
	long long deadline;
	size_t packets;
	size_t waiting;
};

/* A call in a thread of its own. */
struct job {
	pthread_t thread;
	char *line;
	char *more;
	long long result;
	int error;
	long long ended;
	atomic_int done;
};

#define MAX_JOBS 1024
#define MAX_PACKET 4096

static struct interface ifc;
static int (*view)(void *, struct view *);
static struct job jobs[MAX_JOBS];
static int job_count;
static atomic_size_t running;

static void die(const char *what)
{
	fprintf(stderr, "driver: %s\n", what);
	exit(2);
}

static void put_octets(FILE *out, const unsigned char *octets, size_t len)
{
	size_t i;

	if (len == 0)
		fputs(" -", out);
	else
		fputc(' ', out);
	for (i = 0; i < len; i++)
		fprintf(out, "%02x", octets[i]);
}

/* The octets that a word names; their number in `len`. */
static unsigned char *get_octets(const char *word, size_t *len)
{
	size_t i;
	unsigned char *octets;

	*len = strcmp(word, "-") == 0 ? 0 : strlen(word) / 2;
	octets = malloc(*len + 1);
	for (i = 0; i < *len; i++) {
		unsigned int octet;

		if (sscanf(word + 2 * i, "%2x", &octet) != 1)
			die("bad octets");
		octets[i] = octet;
	}
	return octets;
}

static socklen_t get_address(const char *ip, const char *port, struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, ip, &v6->sin6_addr) != 1)
		die("bad address");
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(atoi(port));
	return sizeof(*v6);
}

static void put_address(FILE *out, const struct sockaddr_storage *address)
{
	char text[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		fprintf(out, " %s %d", text, ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		fprintf(out, " %s %d", text, ntohs(v6->sin6_port));
	}
}

/* recv NAME FD LEN FLAGS: by the call of that name. */
static long long receive_octets(char **word, FILE *out)
{
	int fd = atoi(word[2]), flags = atoi(word[4]);
	size_t len = strtoul(word[3], NULL, 10);
	unsigned char *room = malloc(len + 1);
	struct iovec parts[2] = { { room, len / 3 }, { room + len / 3, len - len / 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_namelen = 7 };
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	long long got;

	if (strcmp(word[1], "read") == 0)
		got = ifc.read(ifc.u, fd, room, len);
	else if (strcmp(word[1], "readv") == 0)
		got = ifc.readv(ifc.u, fd, parts, 2);
	else if (strcmp(word[1], "recvfrom") == 0)
		got = ifc.recvfrom(ifc.u, fd, room, len, flags, (struct sockaddr *)&from,
				   &from_len);
	else if (strcmp(word[1], "recvmsg") == 0)
		got = ifc.recvmsg(ifc.u, fd, &message, flags);
	else
		got = ifc.recv(ifc.u, fd, room, len, flags);
	if (got >= 0)
		put_octets(out, room, got);
	free(room);
	return got;
}

/* send NAME FD OCTETS FLAGS: by the call of that name. */
static long long send_octets(char **word)
{
	int fd = atoi(word[2]), flags = atoi(word[4]);
	size_t len;
	unsigned char *octets = get_octets(word[3], &len);
	struct iovec parts[2] = { { octets, len / 3 }, { octets + len / 3, len - len / 3 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	long long sent;

	if (strcmp(word[1], "write") == 0)
		sent = ifc.write(ifc.u, fd, octets, len);
	else if (strcmp(word[1], "writev") == 0)
		sent = ifc.writev(ifc.u, fd, parts, 2);
	else if (strcmp(word[1], "sendto") == 0)
		sent = ifc.sendto(ifc.u, fd, octets, len, flags, NULL, 0);
	else if (strcmp(word[1], "sendmsg") == 0)
		sent = ifc.sendmsg(ifc.u, fd, &message, flags);
	else
		sent = ifc.send(ifc.u, fd, octets, len, flags);
	free(octets);
	return sent;
}

static long long option(char **word, FILE *out)
{
	int fd = atoi(word[1]), level = atoi(word[2]), name = atoi(word[3]);
	unsigned char *value;
	size_t len;
	long long result;

	if (strcmp(word[0], "setsockopt") == 0) {
		value = get_octets(word[4], &len);
		result = ifc.setsockopt(ifc.u, fd, level, name, value, len);
	} else {
		socklen_t room = atoi(word[4]);

		value = malloc(room + 1);
		result = ifc.getsockopt(ifc.u, fd, level, name, value, &room);
		if (result == 0)
			put_octets(out, value, room);
	}
	free(value);
	return result;
}

static long long epoll(char **word, FILE *out)
{
	struct epoll_event events[8];
	int i, count;

	if (strcmp(word[0], "epoll_ctl") == 0) {
		events[0].events = strtoul(word[4], NULL, 10);
		events[0].data.u64 = strtoull(word[5], NULL, 10);
		return ifc.epoll_ctl(ifc.u, atoi(word[1]), atoi(word[2]), atoi(word[3]), events);
	}
	count = ifc.epoll_wait(ifc.u, atoi(word[1]), events, 8, atoi(word[2]));
	for (i = 0; i < count; i++)
		fprintf(out, " %u %llu", events[i].events,
			(unsigned long long)events[i].data.u64);
	return count;
}

static long long clock_of_library(void)
{
	struct timeval now = { 0, 0 };

	if (ifc.gettimeofday(ifc.u, &now, NULL) != 0)
		return -1;
	return now.tv_sec * 1000000LL + now.tv_usec;
}

static long long socket_call(char **word, FILE *out)
{
	const char *name = word[0];
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	long long result;
	int value;

	if (strcmp(name, "socket") == 0)
		return ifc.socket(ifc.u, atoi(word[1]), atoi(word[2]), atoi(word[3]));
	if (strcmp(name, "bind") == 0) {
		len = get_address(word[2], word[3], &address);
		return ifc.bind(ifc.u, atoi(word[1]), (struct sockaddr *)&address, len);
	}
	if (strcmp(name, "listen") == 0)
		return ifc.listen(ifc.u, atoi(word[1]), atoi(word[2]));
	if (strcmp(name, "accept") == 0) {
		result = ifc.accept(ifc.u, atoi(word[1]), (struct sockaddr *)&address, &len);
		if (result >= 0)
			put_address(out, &address);
		return result;
	}
	if (strcmp(name, "connect") == 0) {
		len = get_address(word[2], word[3], &address);
		return ifc.connect(ifc.u, atoi(word[1]), (struct sockaddr *)&address, len);
	}
	if (strcmp(name, "fcntl") == 0)
		return ifc.fcntl(ifc.u, atoi(word[1]), atoi(word[2]), atoi(word[3]));
	if (strcmp(name, "ioctl") == 0) {
		result = ifc.ioctl(ifc.u, atoi(word[1]), strtoul(word[2], NULL, 10), &value);
		if (result == 0)
			fprintf(out, " %d", value);
		return result;
	}
	if (strcmp(name, "close") == 0)
		return ifc.close(ifc.u, atoi(word[1]));
	if (strcmp(name, "shutdown") == 0)
		return ifc.shutdown(ifc.u, atoi(word[1]), atoi(word[2]));
	die(name);
	return -1;
}

static long long call(char **word, FILE *out)
{
	const char *name = word[0];
	long long result;

	if (strcmp(name, "recv") == 0)
		return receive_octets(word, out);
	if (strcmp(name, "send") == 0)
		return send_octets(word);
	if (strcmp(name, "getsockopt") == 0 || strcmp(name, "setsockopt") == 0)
		return option(word, out);
	if (strcmp(name, "epoll_create") == 0)
		return ifc.epoll_create(ifc.u, 1);
	if (strcmp(name, "epoll_ctl") == 0 || strcmp(name, "epoll_wait") == 0)
		return epoll(word, out);
	if (strcmp(name, "poll") == 0) {
		struct pollfd fd = { atoi(word[1]), atoi(word[2]), -1 };

		result = ifc.poll(ifc.u, &fd, 1, atoi(word[3]));
		fprintf(out, " %hd", fd.revents);
		return result;
	}
	if (strcmp(name, "inject") == 0) {
		size_t len;
		unsigned char *packet = get_octets(word[1], &len);

		result = ifc.netdev_send(ifc.u, packet, len);
		free(packet);
		return result;
	}
	if (strcmp(name, "receive") == 0) {
		unsigned char packet[MAX_PACKET];
		size_t len = sizeof(packet);
		long long at = -1;

		result = ifc.netdev_receive(ifc.u, packet, &len, &at);
		fprintf(out, " %lld", at);
		put_octets(out, packet, len);
		return result;
	}
	if (strcmp(name, "usleep") == 0)
		return ifc.usleep(ifc.u, strtoul(word[1], NULL, 10));
	if (strcmp(name, "clock") == 0)
		return clock_of_library();
	if (strcmp(name, "pipe") == 0) {
		int ends[2];

		return ifc.pipe(ifc.u, ends);
	}
	if (strcmp(name, "splice") == 0)
		return ifc.splice(ifc.u, 3, NULL, 4, NULL, 1, 0);
	return socket_call(word, out);
}

/* Makes the call of a line, with what else it gives in `more`. */
static long long run(char *line, char **more, int *error)
{
	char *word[8] = { "", "", "", "", "", "", "", "" };
	char *rest = NULL;
	size_t size;
	FILE *out = open_memstream(more, &size);
	int i;
	long long result;

	for (i = 0; i < 8; i++) {
		char *next = strtok_r(i == 0 ? line : NULL, " \n", &rest);

		if (next == NULL)
			break;
		word[i] = next;
	}
	errno = 0;
	result = call(word, out);
	*error = errno;
	fclose(out);
	return result;
}

static void *run_job(void *argument)
{
	struct job *job = argument;

	job->result = run(job->line, &job->more, &job->error);
	job->ended = clock_of_library();
	atomic_store(&job->done, 1);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static int start(const char *line)
{
	struct job *job = &jobs[job_count];

	if (job_count == MAX_JOBS)
		die("too many calls in threads");
	job->line = strdup(line);
	atomic_fetch_add(&running, 1);
	if (pthread_create(&job->thread, NULL, run_job, job) != 0)
		die("no thread");
	return job_count++;
}

/* Until every thread has come back from its call, or waits in it. */
static void settle(struct view *now)
{
	for (;;) {
		size_t threads = atomic_load(&running);

		if (view(ifc.u, now) != 0)
			memset(now, 0, sizeof(*now));
		if (threads == now->waiting && threads == atomic_load(&running))
			return;
		sched_yield();
	}
}

static void answer(char *line)
{
	char *more = NULL;
	int error = 0;
	long long result;
	struct view now;

	if (line[0] == '&') {
		result = start(line + 1);
	} else if (strncmp(line, "result ", 7) == 0) {
		struct job *job = &jobs[atoi(line + 7)];

		result = -2;
		if (atomic_load(&job->done)) {
			result = job->result;
			error = job->error;
			if (asprintf(&more, " %lld%s", job->ended, job->more) < 0)
				die("no memory");
		}
	} else {
		result = run(line, &more, &error);
	}
	settle(&now);
	printf("%lld %d %lld %lld %zu%s\n", result, error, now.now, now.deadline, now.packets,
	       more == NULL ? "" : more);
	fflush(stdout);
	free(more);
}

int main(int argc, char **argv)
{
	void (*init)(const char *, struct interface *);
	void *library;
	char *line = NULL;
	size_t room = 0;
	int i;

	if (argc != 3)
		die("usage: driver LIBRARY FLAGS");
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
	if (library == NULL)
		die(dlerror());
	init = (void (*)(const char *, struct interface *))dlsym(library,
							     "packetdrill_interface_init");
	view = (int (*)(void *, struct view *))dlsym(library, "weirgate_packetdrill_view");
	if (init == NULL || view == NULL)
		die("the library lacks a function");
	init(argv[2], &ifc);
	while (getline(&line, &room, stdin) > 0)
		answer(line);
	ifc.free(ifc.u);
	/* Whoever still waits is let go by that. */
	for (i = 0; i < job_count; i++)
		pthread_join(jobs[i].thread, NULL);
	return 0;
}
