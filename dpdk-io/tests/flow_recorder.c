/*
 * Takes the place of rte_flow_validate in a program that is started with this library preloaded,
 * and appends what it is given to the file $FLOW_RECORD, a line each: so the structures that two
 * programs make of the same rule can be compared. Says yes to everything.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_flow.h>

static void
put_octets(FILE *out, const char *name, const void *octets, size_t len)
{
	const uint8_t *octet = octets;

	fprintf(out, " %s=", name);
	if (octet == NULL) {
		fputs("none", out);
		return;
	}
	while (len-- > 0)
		fprintf(out, "%02x", *octet++);
}

static size_t
item_size(enum rte_flow_item_type type)
{
#define SIZE(kind, name) case RTE_FLOW_ITEM_TYPE_##kind: return sizeof(struct rte_flow_item_##name)
	switch (type) {
	SIZE(ANY, any);
	SIZE(PORT_ID, port_id);
	SIZE(ETH, eth);
	SIZE(VLAN, vlan);
	SIZE(IPV4, ipv4);
	SIZE(IPV6, ipv6);
	SIZE(ICMP, icmp);
	SIZE(UDP, udp);
	SIZE(TCP, tcp);
	SIZE(SCTP, sctp);
	SIZE(VXLAN, vxlan);
	SIZE(E_TAG, e_tag);
	SIZE(NVGRE, nvgre);
	SIZE(MPLS, mpls);
	SIZE(GRE, gre);
	SIZE(FUZZY, fuzzy);
	SIZE(GTP, gtp);
	SIZE(GTPC, gtp);
	SIZE(GTPU, gtp);
	SIZE(ESP, esp);
	SIZE(GENEVE, geneve);
	SIZE(VXLAN_GPE, vxlan_gpe);
	SIZE(ARP_ETH_IPV4, arp_eth_ipv4);
	SIZE(ICMP6, icmp6);
	SIZE(ICMP6_ND_NS, icmp6_nd_ns);
	SIZE(ICMP6_ND_NA, icmp6_nd_na);
	SIZE(MARK, mark);
	SIZE(PORT_REPRESENTOR, ethdev);
	SIZE(REPRESENTED_PORT, ethdev);
	default:
		return 0;
	}
#undef SIZE
}

/* Field by field: there are gaps and a pointer between them. */
static void
put_raw(FILE *out, const char *name, const struct rte_flow_item_raw *raw, size_t len)
{
	if (raw == NULL) {
		fprintf(out, " %s=none", name);
		return;
	}
	fprintf(out, " %s=%u,%u,%" PRId32 ",%u,%u", name, raw->relative, raw->search, raw->offset,
		raw->limit, raw->length);
	put_octets(out, "octets", raw->pattern, len);
}

static void
put_item(FILE *out, const struct rte_flow_item *item)
{
	const struct rte_flow_item_raw *raw = item->spec;
	size_t size = item_size(item->type);

	fprintf(out, " / item %d", item->type);
	if (item->type == RTE_FLOW_ITEM_TYPE_RAW) {
		put_raw(out, "spec", raw, raw != NULL ? raw->length : 0);
		put_raw(out, "mask", item->mask, raw != NULL ? raw->length : 0);
		return;
	}
	put_octets(out, "spec", item->spec, size);
	put_octets(out, "last", item->last, size);
	put_octets(out, "mask", item->mask, size);
}

static void
put_action(FILE *out, const struct rte_flow_action *action)
{
	const struct rte_flow_action_rss *rss = action->conf;
	size_t size = 0;

	fprintf(out, " / action %d", action->type);
	switch (action->type) {
	case RTE_FLOW_ACTION_TYPE_RSS:
		fprintf(out, " func=%d level=%u types=%#" PRIx64, rss->func, rss->level, rss->types);
		if (rss->key_len > 0)
			put_octets(out, "key", rss->key, rss->key_len);
		put_octets(out, "queues", rss->queue, rss->queue_num * sizeof(*rss->queue));
		return;
	case RTE_FLOW_ACTION_TYPE_QUEUE:
		size = sizeof(struct rte_flow_action_queue);
		break;
	case RTE_FLOW_ACTION_TYPE_JUMP:
		size = sizeof(struct rte_flow_action_jump);
		break;
	case RTE_FLOW_ACTION_TYPE_MARK:
		size = sizeof(struct rte_flow_action_mark);
		break;
	case RTE_FLOW_ACTION_TYPE_COUNT:
		size = sizeof(struct rte_flow_action_count);
		break;
	case RTE_FLOW_ACTION_TYPE_METER:
		size = sizeof(struct rte_flow_action_meter);
		break;
	case RTE_FLOW_ACTION_TYPE_VF:
		size = sizeof(struct rte_flow_action_vf);
		break;
	case RTE_FLOW_ACTION_TYPE_PORT_ID:
		size = sizeof(struct rte_flow_action_port_id);
		break;
	case RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR:
	case RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT:
		size = sizeof(struct rte_flow_action_ethdev);
		break;
	default:
		return;
	}
	put_octets(out, "conf", action->conf, size);
}

int
rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr,
		  const struct rte_flow_item items[], const struct rte_flow_action actions[],
		  struct rte_flow_error *error)
{
	FILE *out = fopen(getenv("FLOW_RECORD"), "a");

	(void)port;
	(void)error;
	if (out == NULL)
		abort();
	fprintf(out, "group %u priority %u ingress %u egress %u transfer %u", attr->group,
		attr->priority, attr->ingress, attr->egress, attr->transfer);
	for (; items->type != RTE_FLOW_ITEM_TYPE_END; items++)
		put_item(out, items);
	for (; actions->type != RTE_FLOW_ACTION_TYPE_END; actions++)
		put_action(out, actions);
	fputc('\n', out);
	fclose(out);
	return 0;
}
