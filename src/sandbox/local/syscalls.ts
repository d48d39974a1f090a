/**
 * The few kernel calls that Node has no function for, through libc by `node:ffi` (Node 26). Where that is missing,
 * `loadSyscalls` gives undefined and the caller does without: sockets inside a sandbox's own network are then not to be had.
 */
export interface Syscalls {
  /** Nothing that was inherited, but what is named, goes on to programs that are started from here. */
  keepDescriptors(): void;
  mkfifo(path: string, mode: number): void;
  /** Puts the calling thread into a new, empty network. */
  unshareNetwork(): void;
  /** Puts the calling thread into the network of that descriptor. */
  enterNetwork(fd: number): void;
  bringLoopbackUp(): void;
  /** A listening TCP socket on 127.0.0.1, as a descriptor. */
  listenOnLoopback(port: number, backlog: number): number;
  /** A TCP socket that is connecting to 127.0.0.1, as a descriptor. */
  connectToLoopback(port: number): number;
  /** Whether a socket from `connectToLoopback` is connected by now. @throws if it was refused. */
  isConnected(fd: number): boolean;
  /** Who has the socket at that end of a TCP connection over 127.0.0.1; undefined if nobody has. */
  findTcpSocket(localPort: number, remotePort: number): { uid: number; inode: number } | undefined;
  /** Makes that folder a mount of its own; what is mounted below it later appears wherever it was bound to. */
  shareMounts(folder: string): void;
  /** Shows a folder at a place below a shared one, read-only, without devices and set-user-id. Linux 5.12. */
  mountReadOnly(folder: string, place: string): void;
  /** Ends what `shareMounts` began; where its mounts have appeared, they stay. */
  unshareMounts(folder: string): void;
  /** The same as `mountReadOnly`, but nowhere yet: as a descriptor, for whoever mounts it. */
  openReadOnlyTree(folder: string): number;
  /** What a thread asks of the scheduler; 0 is the calling one. @throws without the right to, or the thread. */
  setScheduling(tid: number, wanted: Scheduling): void;
  /** Two connected stream sockets, as descriptors. */
  socketPair(): readonly [number, number];
  /** Sends bytes with descriptors, of which whoever receives them has his own. @throws if the socket has no room for them. */
  sendDescriptors(socket: number, bytes: Uint8Array, descriptors: readonly number[]): void;
}

export interface Scheduling {
  readonly niceness: number;
  /** Kernels before 6.12 ignore it. */
  readonly sliceUs: number;
  /** Whether what it starts, threads included, asks for the same; otherwise it asks for nothing, and for no niceness below 0. */
  readonly isInherited: boolean;
}

const CLONE_NEWNET = 0x40000000;
const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUFFORCE = 32;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** Room for some thousand requests with their descriptors. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;
const EINPROGRESS = 115;
const POLLOUT = 4;
/** Linux 5.9, the same number on every machine; on older ones programs see what the daemon inherited. */
const CLOSE_RANGE = 436n;
const CLOSE_RANGE_CLOEXEC = 4n;
const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const IPPROTO_TCP = 6;
const ALL_STATES = 0xffffffff;
const DIAG_REQUEST_BYTES = 72;
const DIAG_UID_AT = 80;
const DIAG_INODE_AT = 84;
/** The same numbers on every machine. */
const OPEN_TREE = 428n;
const MOVE_MOUNT = 429n;
const MOUNT_SETATTR = 442n;
const SCHED_SETATTR = process.arch === "arm64" ? 274n : 314n;
const SCHED_ATTR_BYTES = 56;
const SCHED_FLAG_RESET_ON_FORK = 1n;
const AT_FDCWD = -100n;
const AT_EMPTY_PATH = 0x1000n;
const OPEN_TREE_CLONE = 1n;
const OPEN_TREE_CLOEXEC = 0o2000000n;
const MOVE_MOUNT_F_EMPTY_PATH = 4n;
const MOUNT_ATTR_RDONLY_NOSUID_NODEV = 7n;
const MS_BIND = 0x1000n;
const MS_PRIVATE = 0x40000n;
const MS_SHARED = 0x100000n;
const MNT_DETACH = 2;
const SIOCSIFFLAGS = 0x8914n;
const IFF_UP = 1;

/** Undefined where `node:ffi` is missing or this is not Linux. */
export async function loadSyscalls(): Promise<Syscalls | undefined> {
  if (process.platform !== "linux") return undefined;
  const ffi = await import("node:ffi").catch(() => undefined);
  if (!ffi) return undefined;
  const { functions: libc } = ffi.dlopen(null, {
    mkfifo: { arguments: ["string", "int32"], return: "int32" },
    unshare: { arguments: ["int32"], return: "int32" },
    setns: { arguments: ["int32", "int32"], return: "int32" },
    socket: { arguments: ["int32", "int32", "int32"], return: "int32" },
    bind: { arguments: ["int32", "buffer", "int32"], return: "int32" },
    listen: { arguments: ["int32", "int32"], return: "int32" },
    send: { arguments: ["int32", "buffer", "uint64", "int32"], return: "int64" },
    recv: { arguments: ["int32", "buffer", "uint64", "int32"], return: "int64" },
    connect: { arguments: ["int32", "buffer", "int32"], return: "int32" },
    getsockopt: { arguments: ["int32", "int32", "int32", "buffer", "buffer"], return: "int32" },
    setsockopt: { arguments: ["int32", "int32", "int32", "buffer", "int32"], return: "int32" },
    socketpair: { arguments: ["int32", "int32", "int32", "buffer"], return: "int32" },
    sendmsg: { arguments: ["int32", "buffer", "int32"], return: "int64" },
    poll: { arguments: ["buffer", "uint64", "int32"], return: "int32" },
    ioctl: { arguments: ["int32", "uint64", "buffer"], return: "int32" },
    syscall: { arguments: ["int64", "int64", "int64", "int64"], return: "int64" },
    close: { arguments: ["int32"], return: "int32" },
    mount: { arguments: ["string", "string", "pointer", "uint64", "pointer"], return: "int32" },
    umount2: { arguments: ["string", "int32"], return: "int32" },
    __errno_location: { arguments: [], return: "pointer" },
  });
  // One name, as many signatures as calls need it with.
  const { functions: withPaths } = ffi.dlopen(null, {
    syscall: { arguments: ["int64", "int64", "string", "int64", "string", "int64"], return: "int64" },
  });
  const { functions: withScheduling } = ffi.dlopen(null, {
    syscall: { arguments: ["int64", "int64", "buffer", "int64"], return: "int64" },
  });
  const { functions: withAttributes } = ffi.dlopen(null, {
    syscall: { arguments: ["int64", "int64", "string", "int64", "buffer", "int64"], return: "int64" },
  });
  const errno = () => ffi.getInt32(libc.__errno_location());
  const check = (name: string, result: number) => {
    if (result < 0) throw new Error(`${name} failed with errno ${errno()}`);
    return result;
  };
  const checkLong = (name: string, result: bigint) => check(name, Number(result));
  const newSocket = (flags: number) =>
    check("socket", libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  const closing = <T>(fd: number, use: (fd: number) => T): T => {
    try {
      return use(fd);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  };
  const openReadOnlyTree = (folder: string) => {
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    const opened = withPaths.syscall(OPEN_TREE, AT_FDCWD, folder, flags, "", 0n);
    return closing(checkLong("open_tree", opened), (fd) => {
      // Before it is anywhere to be seen: copies that appear elsewhere are made with what it has then.
      const attributes = Buffer.alloc(32);
      attributes.writeBigUInt64LE(MOUNT_ATTR_RDONLY_NOSUID_NODEV);
      const changed = withAttributes.syscall(MOUNT_SETATTR, BigInt(fd), "", AT_EMPTY_PATH, attributes, 32n);
      checkLong("mount_setattr", changed);
      return fd;
    });
  };
  return {
    keepDescriptors: () => {
      libc.syscall(CLOSE_RANGE, 3n, 0xffffffffn, CLOSE_RANGE_CLOEXEC);
    },
    mkfifo: (path, mode) => {
      check("mkfifo", libc.mkfifo(path, mode));
    },
    unshareNetwork: () => {
      check("unshare", libc.unshare(CLONE_NEWNET));
    },
    enterNetwork: (fd) => {
      check("setns", libc.setns(fd, CLONE_NEWNET));
    },
    bringLoopbackUp: () => {
      const fd = newSocket(0);
      const result = libc.ioctl(fd, SIOCSIFFLAGS, interfaceUp("lo"));
      libc.close(fd);
      check("ioctl", result);
    },
    listenOnLoopback: (port, backlog) =>
      closing(newSocket(SOCK_NONBLOCK), (fd) => {
        check("bind", libc.bind(fd, loopbackAddress(port), 16));
        check("listen", libc.listen(fd, backlog));
        return fd;
      }),
    connectToLoopback: (port) =>
      closing(newSocket(SOCK_NONBLOCK), (fd) => {
        const result = libc.connect(fd, loopbackAddress(port), 16);
        if (result < 0 && errno() !== EINPROGRESS) check("connect", result);
        return fd;
      }),
    isConnected: (fd) => {
      const polled = Buffer.alloc(8);
      polled.writeInt32LE(fd, 0);
      polled.writeInt16LE(POLLOUT, 4);
      if (check("poll", libc.poll(polled, 1n, 0)) === 0) return false;
      const value = Buffer.alloc(4);
      const size = Buffer.alloc(4);
      size.writeInt32LE(4, 0);
      check("getsockopt", libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, value, size));
      if (value.readInt32LE(0) !== 0) throw new Error(`connect failed with errno ${value.readInt32LE(0)}`);
      return true;
    },
    findTcpSocket: (localPort, remotePort) => {
      const made = libc.socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
      const fd = check("socket", made);
      try {
        const request = diagRequest(localPort, remotePort);
        checkLong("send", libc.send(fd, request, BigInt(request.length), 0));
        const answer = Buffer.alloc(512);
        const bytes = checkLong("recv", libc.recv(fd, answer, BigInt(answer.length), 0));
        // Anything else is an error message: there is no such connection.
        if (bytes < DIAG_INODE_AT + 4 || answer.readUInt16LE(4) !== SOCK_DIAG_BY_FAMILY) return undefined;
        return { uid: answer.readUInt32LE(DIAG_UID_AT), inode: answer.readUInt32LE(DIAG_INODE_AT) };
      } finally {
        libc.close(fd);
      }
    },
    shareMounts: (folder) => {
      check("mount", libc.mount(folder, folder, 0n, MS_BIND, 0n));
      check("mount", libc.mount("none", folder, 0n, MS_SHARED, 0n));
    },
    openReadOnlyTree,
    mountReadOnly: (folder, place) => {
      closing(openReadOnlyTree(folder), (fd) => {
        const tree = BigInt(fd);
        const moved = withPaths.syscall(MOVE_MOUNT, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH);
        checkLong("move_mount", moved);
        libc.close(fd);
      });
    },
    unshareMounts: (folder) => {
      // Private first, or what is mounted below would go everywhere.
      check("mount", libc.mount("none", folder, 0n, MS_PRIVATE, 0n));
      check("umount", libc.umount2(folder, MNT_DETACH));
    },
    setScheduling: (tid, wanted) => {
      const set = withScheduling.syscall(SCHED_SETATTR, BigInt(tid), schedAttr(wanted), 0n);
      checkLong("sched_setattr", set);
    },
    socketPair: () => {
      const pair = Buffer.alloc(8);
      check("socketpair", libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
      const size = Buffer.alloc(4);
      size.writeInt32LE(SEND_BUFFER_BYTES);
      check("setsockopt", libc.setsockopt(pair.readInt32LE(0), SOL_SOCKET, SO_SNDBUFFORCE, size, 4));
      return [pair.readInt32LE(0), pair.readInt32LE(4)];
    },
    sendDescriptors: (socket, bytes, descriptors) => {
      const data = Buffer.from(bytes);
      const control = descriptorControl(descriptors);
      // struct iovec, then struct msghdr.
      const vector = Buffer.alloc(16);
      vector.writeBigUInt64LE(ffi.getRawPointer(data), 0);
      vector.writeBigUInt64LE(BigInt(data.length), 8);
      const message = Buffer.alloc(56);
      message.writeBigUInt64LE(ffi.getRawPointer(vector), 16);
      message.writeBigUInt64LE(1n, 24);
      message.writeBigUInt64LE(control.length === 0 ? 0n : ffi.getRawPointer(control), 32);
      message.writeBigUInt64LE(BigInt(control.length), 40);
      const sent = checkLong("sendmsg", libc.sendmsg(socket, message, MSG_DONTWAIT | MSG_NOSIGNAL));
      if (sent < data.length) throw new Error("sendmsg sent a part only");
    },
  };
}

/** nlmsghdr and inet_diag_req_v2 (linux/inet_diag.h), for one connection. */
function diagRequest(localPort: number, remotePort: number): Buffer {
  const request = Buffer.alloc(DIAG_REQUEST_BYTES);
  request.writeUInt32LE(DIAG_REQUEST_BYTES, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  request.writeUInt8(AF_INET, 16);
  request.writeUInt8(IPPROTO_TCP, 17);
  request.writeUInt32LE(ALL_STATES, 20);
  request.writeUInt16BE(localPort, 24);
  request.writeUInt16BE(remotePort, 26);
  request.set([127, 0, 0, 1], 28);
  request.set([127, 0, 0, 1], 44);
  // No cookie is known.
  request.fill(0xff, 64, 72);
  return request;
}

/** struct sched_attr, for SCHED_OTHER. */
function schedAttr({ niceness, sliceUs, isInherited }: Scheduling): Buffer {
  const attributes = Buffer.alloc(SCHED_ATTR_BYTES);
  attributes.writeUInt32LE(SCHED_ATTR_BYTES, 0);
  attributes.writeBigUInt64LE(isInherited ? 0n : SCHED_FLAG_RESET_ON_FORK, 8);
  attributes.writeInt32LE(niceness, 16);
  attributes.writeBigUInt64LE(BigInt(sliceUs) * 1_000n, 24);
  return attributes;
}

/** struct cmsghdr with SCM_RIGHTS (unix(7)); empty for none. */
function descriptorControl(descriptors: readonly number[]): Buffer {
  if (descriptors.length === 0) return Buffer.alloc(0);
  const length = 16 + 4 * descriptors.length;
  const control = Buffer.alloc(Math.ceil(length / 8) * 8);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [index, descriptor] of descriptors.entries()) control.writeInt32LE(descriptor, 16 + 4 * index);
  return control;
}

/** struct sockaddr_in. */
function loopbackAddress(port: number): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  return address;
}

/** struct ifreq. */
function interfaceUp(name: string): Buffer {
  const request = Buffer.alloc(40);
  request.write(name, 0);
  request.writeInt16LE(IFF_UP, 16);
  return request;
}
