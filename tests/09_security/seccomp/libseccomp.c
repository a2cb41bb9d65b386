/* Makes a filter with libseccomp and writes it to stdout.
 *
 * stdin, one word group a line, all numbers in decimal:
 *   default ACTION        the default action, as SCMP_ACT_*
 *   arch TOKEN            one more architecture; the first replaces the native one
 *   rule ACTION NAME      begins a rule
 *   arg INDEX OP A B      a condition of that rule
 *   end                   adds the rule
 * A rule that libseccomp refuses is reported on stderr, with exit code 3.
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-rc));
		exit(rc == -EEXIST || rc == -EINVAL ? 3 : 1);
	}
}

int main(void)
{
	scmp_filter_ctx ctx = NULL;
	char line[256], name[128];
	uint32_t action = 0, token, def = 0;
	unsigned int index, op, count = 0, archs = 0;
	uint64_t a, b;
	struct scmp_arg_cmp args[6];

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "default %" SCNu32, &def) == 1) {
			ctx = seccomp_init(def);
			if (!ctx)
				return 1;
		} else if (sscanf(line, "arch %" SCNu32, &token) == 1) {
			int rc = seccomp_arch_add(ctx, token);
			if (rc != -EEXIST)
				check(rc, "arch");
			if (archs++ == 0 && token != seccomp_arch_native())
				check(seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE), "native");
		} else if (sscanf(line, "rule %" SCNu32 " %127s", &action, name) == 2) {
			count = 0;
		} else if (sscanf(line, "arg %u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) == 4) {
			args[count].arg = index;
			args[count].op = op;
			args[count].datum_a = a;
			args[count].datum_b = b;
			count++;
		} else if (strncmp(line, "end", 3) == 0) {
			int nr = seccomp_syscall_resolve_name(name);
			if (action == def || nr == __NR_SCMP_ERROR)
				continue;
			check(seccomp_rule_add_array(ctx, action, nr, count, args), name);
		}
	}
	check(seccomp_export_bpf(ctx, 1), "export");
	return 0;
}
