/*
 * The first process of a filter's container: starts the program that it is told, hands signals on to it, takes in what its
 * children leave behind, and says how it ended, behind all that it printed. The engine tells that, too, once it has
 * taken the container apart, which takes it a hundred times as long.
 *
 *   first TOKEN PROGRAM [ARGUMENT ...]
 *
 * It speaks on the program's own stdout and stderr, in notes of TOKEN (at most 64 characters), a letter and a byte:
 *
 *   S 0       stderr           the program has been started
 *   F errno   stderr           it could not be
 *   X status  stdout, stderr   it has exited
 *   K signal  stdout, stderr   it was killed
 *
 * and leaves as a shell would: with the program's status, with 128 and the signal, or with 127. Without arguments it leaves with 0.
 *
 * It stands on nothing but the kernel, so that it runs in any image. src/sandbox/docker/first-program.ts has it
 * translated; first-process.test.ts beside that has the command for that, and compares.
 */

typedef unsigned long u64;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, CLONE = 56, EXECVE = 59, EXIT = 231, WAIT4 = 61, KILL = 62, MASK = 14, NEXT_SIGNAL = 128, PIPE2 = 293, PPOLL = 271 };
__asm__(".section .text.first,\"ax\"\n.globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall run\n");

static inline long ask(long n, u64 a, u64 b, u64 c, u64 d, u64 e) {
  long result;
  register u64 r10 __asm__("r10") = d;
  register u64 r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, CLOSE = 57, CLONE = 220, EXECVE = 221, EXIT = 94, WAIT4 = 260, KILL = 129, MASK = 135, NEXT_SIGNAL = 137, PIPE2 = 59, PPOLL = 73 };
__asm__(".section .text.first,\"ax\"\n.globl _start\n_start: mov x0, sp\nbl run\n");

static inline long ask(long n, u64 a, u64 b, u64 c, u64 d, u64 e) {
  register u64 x8 __asm__("x8") = n;
  register u64 x0 __asm__("x0") = a;
  register u64 x1 __asm__("x1") = b;
  register u64 x2 __asm__("x2") = c;
  register u64 x3 __asm__("x3") = d;
  register u64 x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#endif

enum { ENOENT = 2, EAGAIN = 11, EACCES = 13, ENOTDIR = 20, ENAMETOOLONG = 36 };
enum { SIGPIPE = 13, SIGCHLD = 17, SIG_SETMASK = 2, SIGNALS_BYTES = 8 };
enum { WNOHANG = 1, O_CLOEXEC = 02000000, POLLOUT = 4 };
enum { TOKEN_MAX = 64, PATH_MAX = 4096, NOT_STARTED = 127, KILLED = 128 };

static inline __attribute__((noreturn)) void leave(int status) {
  for (;;) ask(EXIT, status, 0, 0, 0, 0);
}

/* The program may have told the pipe not to wait, and somebody may read it slowly. */
static void note(int to, const char *token, char kind, int value) {
  char text[TOKEN_MAX + 2];
  u64 length = 0;
  for (; length < TOKEN_MAX && token[length]; length += 1) text[length] = token[length];
  text[length] = kind;
  text[length + 1] = value;
  for (u64 sent = 0; sent < length + 2;) {
    long wrote = ask(WRITE, to, (u64)(text + sent), length + 2 - sent, 0, 0);
    if (wrote > 0) sent += wrote;
    else if (wrote == -EAGAIN) {
      struct { int fd; short wanted, found; } place = { to, POLLOUT, 0 };
      ask(PPOLL, (u64)&place, 1, 0, 0, SIGNALS_BYTES);
    } else return;
  }
}

static int is_path_variable(const char *text) {
  return text[0] == 'P' && text[1] == 'A' && text[2] == 'T' && text[3] == 'H' && text[4] == '=';
}

/* Becomes the program, or says why not: a name without a slash is looked for along PATH. */
static int become(char **command, char **environment) {
  const char *name = command[0];
  for (const char *at = name; *at; at += 1)
    if (*at == '/') return -ask(EXECVE, (u64)name, (u64)command, (u64)environment, 0, 0);
  const char *path = 0;
  for (char **variable = environment; *variable; variable += 1)
    if (is_path_variable(*variable)) path = *variable + 5;
  int problem = ENOENT;
  while (path) {
    char file[PATH_MAX];
    u64 length = 0;
    for (; *path && *path != ':'; path += 1)
      if (length < PATH_MAX - 1) file[length++] = *path;
    path = *path ? path + 1 : 0;
    if (length == 0) file[length++] = '.';
    if (length < PATH_MAX - 1) file[length++] = '/';
    for (const char *at = name; *at && length < PATH_MAX - 1; at += 1) file[length++] = *at;
    file[length] = 0;
    int failure = length == PATH_MAX - 1 ? ENAMETOOLONG : -ask(EXECVE, (u64)file, (u64)command, (u64)environment, 0, 0);
    if (failure == EACCES) problem = EACCES;
    else if (failure != ENOENT && failure != ENOTDIR && failure != ENAMETOOLONG) return failure;
  }
  return problem;
}

__attribute__((noreturn)) void run(long *stack) {
  long count = stack[0];
  char **words = (char **)(stack + 1);
  if (count < 3) leave(0);
  const char *token = words[1];
  u64 all = ~0UL, none = 0;
  /* Kept for us until we ask for them; the first process of a container is not sent others. */
  ask(MASK, SIG_SETMASK, (u64)&all, 0, SIGNALS_BYTES, 0);
  int said[2];
  unsigned char problem = EAGAIN;
  long program = ask(PIPE2, (u64)said, O_CLOEXEC, 0, 0, 0);
  if (program == 0) program = ask(CLONE, SIGCHLD, 0, 0, 0, 0);
  if (program == 0) {
    ask(MASK, SIG_SETMASK, (u64)&none, 0, SIGNALS_BYTES, 0);
    problem = become(words + 2, words + count + 1);
    ask(WRITE, said[1], (u64)&problem, 1, 0, 0);
    leave(NOT_STARTED);
  }
  if (program > 0) {
    ask(CLOSE, said[1], 0, 0, 0, 0);
    /* Ends without a byte when the program has taken over. */
    if (ask(READ, said[0], (u64)&problem, 1, 0, 0) == 0) problem = 0;
    ask(CLOSE, said[0], 0, 0, 0, 0);
  } else problem = -program;
  if (problem != 0) {
    note(2, token, 'F', problem);
    leave(NOT_STARTED);
  }
  note(2, token, 'S', 0);
  ask(CLOSE, 0, 0, 0, 0, 0);
  for (;;) {
    long signal = ask(NEXT_SIGNAL, (u64)&all, 0, 0, SIGNALS_BYTES, 0);
    if (signal > 0 && signal != SIGCHLD && signal != SIGPIPE) ask(KILL, program, signal, 0, 0, 0);
    if (signal != SIGCHLD) continue;
    for (;;) {
      int status;
      long gone = ask(WAIT4, -1, (u64)&status, WNOHANG, 0, 0);
      if (gone <= 0) break;
      if (gone != program) continue;
      int killed_by = status & 127;
      int value = killed_by ? killed_by : (status >> 8) & 255;
      for (int to = 1; to <= 2; to += 1) note(to, token, killed_by ? 'K' : 'X', value);
      leave(killed_by ? KILLED + killed_by : value);
    }
  }
}
