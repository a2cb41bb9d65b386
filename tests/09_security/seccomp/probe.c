/* Makes one system call and prints its outcome: "ok", or the number of the error.
 *
 * probe syscall NUMBER [ARG…]    by the instruction of 64-bit programs
 * probe int80 NUMBER [ARG…]      by the instruction of 32-bit programs (x86 only)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long int80(long number, const unsigned long *args)
{
#if defined(__x86_64__)
	long result;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(args[0]), "c"(args[1]), "d"(args[2])
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
#else
	(void)number, (void)args;
	return -ENOSYS;
#endif
}

int main(int argc, char **argv)
{
	unsigned long args[6] = { 0 };
	long number, result;

	if (argc < 3)
		return 2;
	number = strtol(argv[2], NULL, 0);
	for (int i = 3; i < argc && i < 9; i++)
		args[i - 3] = strtoul(argv[i], NULL, 0);
	if (strcmp(argv[1], "int80") == 0) {
		result = int80(number, args);
	} else {
		result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
		result = result == -1 ? -errno : result;
	}
	if (result < 0 && result > -4096)
		printf("%ld\n", -result);
	else
		printf("ok\n");
	return 0;
}
