/*
 * DPDK functions that exist only as inline functions in its headers, as functions that can be
 * linked. They work on a burst, or belong to the control path; what is read of a single packet
 * is read in Rust.
 */
#ifndef DPDK_SHIM_H
#define DPDK_SHIM_H

#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* The state of a link, in a layout that does not change between DPDK releases. */
struct dpdk_shim_link {
	uint32_t speed_mbit;
	uint8_t up;
	uint8_t full_duplex;
};

uint16_t dpdk_shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs,
			    uint16_t count);
uint16_t dpdk_shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs,
			    uint16_t count);
uint16_t dpdk_shim_tx_prepare(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs,
			      uint16_t count);

int dpdk_shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void dpdk_shim_mbuf_free(struct rte_mbuf *mbuf);
int dpdk_shim_mbuf_linearize(struct rte_mbuf *mbuf);

uint16_t dpdk_shim_pool_data_room(struct rte_mempool *pool);
uint32_t dpdk_shim_pool_size(const struct rte_mempool *pool);

int dpdk_shim_link(uint16_t port, struct dpdk_shim_link *link);

int dpdk_shim_errno(void);

#endif
