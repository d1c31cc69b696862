#include "shim.h"

#include <string.h>

#include <rte_errno.h>
#include <rte_mempool.h>

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
