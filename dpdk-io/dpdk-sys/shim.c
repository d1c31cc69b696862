#include "shim.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

/* What a pool keeps besides its buffers: what DPDK expects there, and where references come from. */
struct pool_private {
	struct rte_pktmbuf_pool_private mbuf;
	struct rte_mempool *references;
};

uint16_t dpdk_shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t dpdk_shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

uint16_t dpdk_shim_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs,
			      uint16_t count)
{
	return rte_eth_tx_prepare(port, queue, mbufs, count);
}

int dpdk_shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void dpdk_shim_mbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

int dpdk_shim_mbuf_linearize(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_linearize(mbuf);
}

int dpdk_shim_mbuf_attach(struct rte_mbuf *packet, struct rte_mbuf *payload, uint16_t offset,
			  uint16_t len)
{
	const struct pool_private *pool = rte_mempool_get_priv(payload->pool);
	struct rte_mbuf *reference = rte_pktmbuf_alloc(pool->references);
	int result;

	if (reference == NULL)
		return -ENOMEM;
	rte_pktmbuf_attach(reference, payload);
	reference->data_off = offset;
	reference->data_len = len;
	reference->pkt_len = len;
	result = rte_pktmbuf_chain(packet, reference);
	if (result < 0)
		rte_pktmbuf_free(reference);
	return result;
}

struct rte_mempool *dpdk_shim_pool_create(const char *name, unsigned int count, unsigned int cache,
					  uint16_t data_room, struct rte_mempool *references,
					  int numa_node)
{
	struct rte_pktmbuf_pool_private sizes = { .mbuf_data_room_size = data_room };
	struct rte_mempool *pool;
	int result;

	/*
	 * As rte_pktmbuf_pool_create does it, with private data of our own behind DPDK's, and without
	 * gaps at the ends of pages: addresses are virtual (--iova-mode=va), so nothing needs them.
	 * net_af_xdp takes the pool for as long as its buffers together; what lies behind that, because
	 * of gaps, the kernel refuses to send, and all that waits behind it.
	 */
	pool = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + data_room, cache,
					sizeof(struct pool_private), numa_node,
					RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (pool == NULL)
		return NULL;
	result = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (result == 0) {
		struct pool_private *private;

		rte_pktmbuf_pool_init(pool, &sizes);
		private = rte_mempool_get_priv(pool);
		private->references = references;
		result = rte_mempool_populate_default(pool);
	}
	if (result < 0) {
		rte_mempool_free(pool);
		rte_errno = -result;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

uint16_t dpdk_shim_pool_data_room(struct rte_mempool *pool)
{
	return rte_pktmbuf_data_room_size(pool);
}

uint32_t dpdk_shim_pool_size(const struct rte_mempool *pool)
{
	return pool->size;
}

int dpdk_shim_link(uint16_t port, struct dpdk_shim_link *link)
{
	struct rte_eth_link state;
	int result;

	memset(&state, 0, sizeof(state));
	result = rte_eth_link_get_nowait(port, &state);
	link->speed_mbit = state.link_speed;
	link->up = state.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = state.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return result;
}

int dpdk_shim_errno(void)
{
	return rte_errno;
}
