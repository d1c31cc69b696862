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
/*
 * Hangs a reference to len octets of the buffer of payload, from offset on, on the end of packet.
 * payload is of a pool that dpdk_shim_pool_create made. Returns 0, or a negative error number when
 * there is no reference to be had.
 */
int dpdk_shim_mbuf_attach(struct rte_mbuf *packet, struct rte_mbuf *payload, uint16_t offset,
			  uint16_t len);
int dpdk_shim_mbuf_linearize(struct rte_mbuf *mbuf);

/*
 * A pool of packet buffers whose references come from another pool. NULL, and rte_errno, if it
 * cannot be made.
 */
struct rte_mempool *dpdk_shim_pool_create(const char *name, unsigned int count, unsigned int cache,
					  uint16_t data_room, struct rte_mempool *references,
					  int numa_node);
uint16_t dpdk_shim_pool_data_room(struct rte_mempool *pool);
uint32_t dpdk_shim_pool_size(const struct rte_mempool *pool);

int dpdk_shim_link(uint16_t port, struct dpdk_shim_link *link);

int dpdk_shim_errno(void);

#endif
