/* The two calls of the interface that take a variable argument, made into ones that do not. */

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>

int weirgate_packetdrill_fcntl_fixed(void *userdata, int fd, int cmd, int arg);
int weirgate_packetdrill_ioctl_fixed(void *userdata, int fd, unsigned long request, int *value);

int weirgate_packetdrill_fcntl(void *userdata, int fd, int cmd, ...)
{
	int arg = 0;

	if (cmd == F_SETFL) {
		va_list args;

		va_start(args, cmd);
		arg = va_arg(args, int);
		va_end(args);
	}
	return weirgate_packetdrill_fcntl_fixed(userdata, fd, cmd, arg);
}

int weirgate_packetdrill_ioctl(void *userdata, int fd, unsigned long request, ...)
{
	int *value = NULL;

	/* FIONREAD and SIOCOUTQ, by their other names; only of these is the argument known. */
	if (request == TIOCINQ || request == TIOCOUTQ) {
		va_list args;

		va_start(args, request);
		value = va_arg(args, int *);
		va_end(args);
	}
	return weirgate_packetdrill_ioctl_fixed(userdata, fd, request, value);
}
