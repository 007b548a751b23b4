// SPDX-License-Identifier: Apache-2.0
//
// Counts packets to the link-local services of a VPC: at the egress of network
// interfaces by service and by tick, at the root of the cgroups by sender; and
// matches DNS answers to their queries at the ingress of the interfaces. Every
// map is bounded. A packet to anywhere else costs two comparisons and leaves.
//
// `make generate-bpf` compiles this; what it writes is committed.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define DNS 0
#define IMDS 1
#define NTP 2
#define KMS 3
#define SERVICES 4

#define TICK_NS 100000000ULL    // a tenth of a second
#define TICKS 64                // how many are kept
#define SECOND_NS 1000000000ULL
#define SECONDS 16              // of DNS
#define LATENCIES 24            // powers of two, in microseconds
#define RETRY_NS (30 * SECOND_NS)
#define EPOCH_NS (10 * SECOND_NS)
#define NAME 128                // bytes of a query's name that count, with its type
#define RESOLVERS 4
#define COMM 16

// The VPC's own resolver addresses besides 169.254.169.253: the base of the
// VPC's network plus two. Zero is none. Written while programs run.
__u32 resolvers[RESOLVERS];

// Names of queries are kept as they are, not only as hashes.
const volatile bool keep_names;
// Hashes of names start from here, so that they can't be looked up in a table.
const volatile __u64 seed;

// tick is what was sent in one tenth of a second of the monotonic clock.
struct tick {
	__u64 at; // number of the tick since boot
	__u32 packets[SERVICES];
};

// dns_second counts the queries that were sent in one second, and those of them
// that were answered, whenever that was.
struct dns_second {
	__u64 at; // number of the second since boot
	__u32 queries;
	__u32 answered;
};

struct interface {
	struct bpf_spin_lock lock;
	__u32 unused;
	__u64 packets[SERVICES];
	__u64 bytes[SERVICES];
	__u64 queries;
	__u64 retries;   // queries with the id and name of one that still waits
	__u64 answers;   // that match a query
	__u64 unmatched; // answers that do not, as to a query before the start
	__u64 rcodes[16];
	__u64 latencies[LATENCIES]; // of matched answers, by the power of two above
	__u64 latency_sum;          // microseconds
	struct tick ticks[TICKS];
	struct dns_second seconds[SECONDS];
};

// interfaces has an entry for each interface that is watched, by index.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

struct query_key {
	__u64 name; // hash of name and type
	__u32 ifindex;
	__u32 id;
};

struct query {
	__u64 last;   // when it was sent, by the monotonic clock
	__u64 before; // when it was sent the time before that, if that has no answer yet
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct query_key);
	__type(value, struct query);
} queries SEC(".maps");

struct name {
	__u32 epoch;
	__u32 current; // queries in this epoch
	__u32 previous;
	__u32 length;
	char text[NAME]; // as on the wire, if names are kept
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct name);
} names SEC(".maps");

struct sender_key {
	__u64 cgroup;
	__u32 process; // 0 if unknown
	__u32 unused;
};

struct sender {
	__u64 packets[SERVICES];
	__u64 bytes;
	char comm[COMM];
};

// senders holds who sent. What finds no room counts for the key of zeros.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct sender_key);
	__type(value, struct sender);
} senders SEC(".maps");

struct owner {
	__u32 process;
	char comm[COMM];
};

// owners says which process used a socket, by its cookie.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

// service4 returns which service has an address, or -1.
static __always_inline int service4(__u32 address)
{
	if ((address & bpf_htonl(0xffffff00)) == bpf_htonl(0xa9fea900)) {
		switch (bpf_ntohl(address) & 0xff) {
		case 253: return DNS;
		case 254: return IMDS;
		case 123: return NTP;
		case 250:
		case 251: return KMS;
		}
		return -1;
	}
#pragma unroll
	for (int i = 0; i < RESOLVERS; i++)
		if (resolvers[i] == address)
			return address ? DNS : -1;
	return -1;
}

static __always_inline int service6(const __u32 a[4])
{
	if (a[0] != bpf_htonl(0xfd000ec2) || a[1] || a[2])
		return -1;
	switch (bpf_ntohl(a[3])) {
	case 0x253: return DNS;
	case 0x254: return IMDS;
	case 0x123: return NTP;
	case 0x250:
	case 0x251: return KMS;
	}
	return -1;
}

// packet is where the parts of a packet begin, from the start of skb.
struct packet {
	int service;
	__u32 payload; // of UDP, or 0
	__u16 port;    // the service's, in network order; 0 unless UDP
};

// parse finds the service that a packet goes to, or that it comes from. network
// is where the header of IP begins.
static __always_inline void parse(struct __sk_buff *skb, __u32 network, bool sent, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 transport;
	struct udphdr udp;

	p->service = -1;
	p->payload = 0;
	p->port = 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip, *h = data + network;

		if ((void *)(h + 1) > end) {
			if (bpf_skb_load_bytes(skb, network, &ip, sizeof(ip)))
				return;
			h = &ip;
		}
		p->service = service4(sent ? h->daddr : h->saddr);
		if (p->service != DNS || h->protocol != IPPROTO_UDP || (h->frag_off & bpf_htons(0x1fff)))
			return;
		transport = network + h->ihl * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip, *h = data + network;

		if ((void *)(h + 1) > end) {
			if (bpf_skb_load_bytes(skb, network, &ip, sizeof(ip)))
				return;
			h = &ip;
		}
		p->service = service6((sent ? &h->daddr : &h->saddr)->in6_u.u6_addr32);
		if (p->service != DNS || h->nexthdr != IPPROTO_UDP)
			return;
		transport = network + sizeof(*h);
	} else {
		return;
	}
	if (bpf_skb_load_bytes(skb, transport, &udp, sizeof(udp)))
		return;
	p->port = sent ? udp.dest : udp.source;
	p->payload = transport + sizeof(udp);
}

// segments returns how many packets skb is on the wire.
static __always_inline __u32 segments(struct __sk_buff *skb)
{
	return skb->gso_segs ?: 1;
}

struct dns_header {
	__u16 id;
	__u8 flags; // QR is the highest bit
	__u8 rcode; // in the lower four bits
	__u16 questions, answers, authorities, additional;
};

// question is the first question of a DNS message.
struct question {
	__u64 hash;
	__u32 length; // of the name, with the zero at its end
	char text[NAME];
};

// read_question reads and hashes a name and its type, FNV-1a. It reports
// whether there is one.
static __always_inline bool read_question(struct __sk_buff *skb, __u32 at, struct question *q)
{
	__u32 length = skb->len - at, left = 0, tail = 0;
	__u64 hash = seed ^ 0xcbf29ce484222325ULL;

	if (at >= skb->len)
		return false;
	if (length > NAME)
		length = NAME;
	// The verifier has to see the bounds where they are used.
	asm volatile("" : "+r"(length));
	if (length < 5 || length > NAME)
		return false;
	if (bpf_skb_load_bytes(skb, at, q->text, length))
		return false;
	q->length = length;
	for (int i = 0; i < NAME; i++) {
		__u8 c = q->text[i];

		if (i >= length)
			break;
		hash = (hash ^ c) * 0x100000001b3ULL;
		if (tail) { // the type
			if (++tail == 3)
				break;
			continue;
		}
		if (left) {
			left--;
		} else if (c) {
			left = c;
		} else {
			q->length = i + 1;
			tail = 1;
		}
	}
	q->hash = hash;
	return true;
}

static __always_inline void count_name(struct question *q, __u64 now)
{
	__u32 epoch = now / EPOCH_NS;
	struct name *n = bpf_map_lookup_elem(&names, &q->hash), fresh = {};

	if (n) {
		// Two CPUs at the turn of an epoch may lose a query of a name.
		if (n->epoch != epoch) {
			n->previous = n->epoch == epoch - 1 ? n->current : 0;
			n->current = 0;
			n->epoch = epoch;
		}
		__sync_fetch_and_add(&n->current, 1);
		return;
	}
	fresh.epoch = epoch;
	fresh.current = 1;
	if (keep_names) {
		fresh.length = q->length;
		__builtin_memcpy(fresh.text, q->text, NAME);
	}
	bpf_map_update_elem(&names, &q->hash, &fresh, BPF_ANY);
}

// read_query notes a query and reports whether it is one, and whether it is a
// retry.
static __always_inline bool read_query(struct __sk_buff *skb, struct packet *p, __u64 now, bool *retry)
{
	struct dns_header h;
	struct question q = {};
	struct query_key key = {};
	struct query *old, fresh = {.last = now};

	if (p->port != bpf_htons(53) || bpf_skb_load_bytes(skb, p->payload, &h, sizeof(h)) || h.flags & 0x80 || !h.questions)
		return false;
	if (!read_question(skb, p->payload + sizeof(h), &q))
		return false;
	count_name(&q, now);
	key.name = q.hash;
	key.ifindex = skb->ifindex;
	key.id = h.id;
	old = bpf_map_lookup_elem(&queries, &key);
	if (old && now - old->last < RETRY_NS) {
		*retry = true;
		fresh.before = old->last;
	}
	bpf_map_update_elem(&queries, &key, &fresh, BPF_ANY);
	return true;
}

// egress counts what an interface sends.
SEC("tc")
int linklocal_out(struct __sk_buff *skb)
{
	struct packet p;
	struct interface *i;
	__u32 ifindex = skb->ifindex, n;
	bool query = false, retry = false;
	__u64 now, tick, second;

	parse(skb, ETH_HLEN, true, &p);
	if (p.service < 0 || p.service >= SERVICES)
		return TC_ACT_UNSPEC;
	i = bpf_map_lookup_elem(&interfaces, &ifindex);
	if (!i)
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_ns();
	tick = now / TICK_NS;
	second = now / SECOND_NS;
	n = segments(skb);
	if (p.payload)
		query = read_query(skb, &p, now, &retry);

	struct tick *t = &i->ticks[tick % TICKS];
	struct dns_second *d = &i->seconds[second % SECONDS];

	bpf_spin_lock(&i->lock);
	i->packets[p.service] += n;
	i->bytes[p.service] += skb->len;
	if (t->at < tick) {
		t->at = tick;
		t->packets[DNS] = t->packets[IMDS] = t->packets[NTP] = t->packets[KMS] = 0;
	}
	if (t->at == tick)
		t->packets[p.service] += n;
	if (query) {
		i->queries++;
		i->retries += retry;
		if (d->at < second) {
			d->at = second;
			d->queries = d->answered = 0;
		}
		if (d->at == second)
			d->queries++;
	}
	bpf_spin_unlock(&i->lock);
	return TC_ACT_UNSPEC;
}

// ingress matches what the resolver answers.
SEC("tc")
int linklocal_in(struct __sk_buff *skb)
{
	struct packet p;
	struct dns_header h;
	struct question q = {};
	struct query_key key = {};
	struct query *old, rest = {};
	struct interface *i;
	__u64 now, sent = 0, second, us;
	__u32 latency = 0;

	parse(skb, ETH_HLEN, false, &p);
	if (p.service != DNS || !p.payload || p.port != bpf_htons(53))
		return TC_ACT_UNSPEC;
	key.ifindex = skb->ifindex;
	i = bpf_map_lookup_elem(&interfaces, &key.ifindex);
	if (!i)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, p.payload, &h, sizeof(h)) || !(h.flags & 0x80))
		return TC_ACT_UNSPEC;
	if (!h.questions || !read_question(skb, p.payload + sizeof(h), &q))
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_ns();
	key.name = q.hash;
	key.id = h.id;
	old = bpf_map_lookup_elem(&queries, &key);
	if (old) {
		sent = old->last;
		rest.last = old->before;
		if (rest.last)
			bpf_map_update_elem(&queries, &key, &rest, BPF_EXIST);
		else
			bpf_map_delete_elem(&queries, &key);
	}
	us = (now - sent) / 1000;
#pragma unroll
	for (int b = 0; b < LATENCIES - 1; b++)
		latency += us > (1ULL << b);
	second = sent / SECOND_NS;

	struct dns_second *d = &i->seconds[second % SECONDS];
	__u64 *rcode = &i->rcodes[h.rcode & 0xf];

	if (latency >= LATENCIES)
		return TC_ACT_UNSPEC;
	__u64 *slot = &i->latencies[latency];

	bpf_spin_lock(&i->lock);
	(*rcode)++;
	if (sent) {
		i->answers++;
		(*slot)++;
		i->latency_sum += us;
		if (d->at == second)
			d->answered++;
	} else {
		i->unmatched++;
	}
	bpf_spin_unlock(&i->lock);
	return TC_ACT_UNSPEC;
}

// sent counts what sockets of every cgroup send, in every network namespace.
SEC("cgroup_skb/egress")
int linklocal_sent(struct __sk_buff *skb)
{
	struct sender_key key = {};
	struct sender *s, fresh = {};
	struct owner *o;
	struct packet p;
	__u64 cookie;
	__u32 n;

	parse(skb, 0, true, &p);
	if (p.service < 0 || p.service >= SERVICES)
		return 1;
	n = segments(skb);
	cookie = bpf_get_socket_cookie(skb);
	key.cgroup = bpf_skb_cgroup_id(skb);
	o = bpf_map_lookup_elem(&owners, &cookie);
	if (o) {
		key.process = o->process;
		__builtin_memcpy(fresh.comm, o->comm, COMM);
	}
	s = bpf_map_lookup_elem(&senders, &key);
	if (!s) {
		bpf_map_update_elem(&senders, &key, &fresh, BPF_NOEXIST);
		s = bpf_map_lookup_elem(&senders, &key);
	}
	if (!s) {
		key.cgroup = 0;
		key.process = 0;
		s = bpf_map_lookup_elem(&senders, &key);
	}
	if (s) {
		__sync_fetch_and_add(&s->packets[p.service], n);
		__sync_fetch_and_add(&s->bytes, skb->len);
	}
	return 1;
}

// own notes which process a socket belongs to that is about to send.
static __always_inline int own(struct bpf_sock_addr *ctx, int service)
{
	struct owner *old, fresh = {};
	__u64 cookie;

	if (service < 0)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	fresh.process = bpf_get_current_pid_tgid() >> 32;
	old = bpf_map_lookup_elem(&owners, &cookie);
	if (old && old->process == fresh.process)
		return 1;
	bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
	bpf_map_update_elem(&owners, &cookie, &fresh, BPF_ANY);
	return 1;
}

SEC("cgroup/connect4")
int linklocal_conn4(struct bpf_sock_addr *ctx)
{
	return own(ctx, service4(ctx->user_ip4));
}

SEC("cgroup/sendmsg4")
int linklocal_msg4(struct bpf_sock_addr *ctx)
{
	return own(ctx, service4(ctx->user_ip4));
}

SEC("cgroup/connect6")
int linklocal_conn6(struct bpf_sock_addr *ctx)
{
	__u32 a[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	return own(ctx, service6(a));
}

SEC("cgroup/sendmsg6")
int linklocal_msg6(struct bpf_sock_addr *ctx)
{
	__u32 a[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	return own(ctx, service6(a));
}

char LICENSE[] SEC("license") = "Apache-2.0";
