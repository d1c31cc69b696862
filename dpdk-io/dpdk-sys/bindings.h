/*
 * What bindgen reads. Besides the functions: constants whose macros bindgen cannot evaluate, and
 * where the fields of rte_mbuf lie. Offsets, because the path of a field through anonymous unions
 * differs between DPDK releases while its name does not.
 */
#include <stddef.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "shim.h"

#define OFFSET(name, field) static const size_t MBUF_OFFSET_##name = offsetof(struct rte_mbuf, field)
OFFSET(BUF_ADDR, buf_addr);
OFFSET(BUF_LEN, buf_len);
OFFSET(DATA_LEN, data_len);
OFFSET(DATA_OFF, data_off);
OFFSET(NB_SEGS, nb_segs);
OFFSET(NEXT, next);
OFFSET(OL_FLAGS, ol_flags);
OFFSET(PKT_LEN, pkt_len);
OFFSET(REFCNT, refcnt);
OFFSET(RSS_HASH, hash.rss);
OFFSET(TX_OFFLOAD, tx_offload);

#define CONSTANT(name) static const uint64_t DPDK_##name = RTE_##name
CONSTANT(ETH_RX_OFFLOAD_IPV4_CKSUM);
CONSTANT(ETH_RX_OFFLOAD_RSS_HASH);
CONSTANT(ETH_RX_OFFLOAD_SCATTER);
CONSTANT(ETH_RX_OFFLOAD_TCP_CKSUM);
CONSTANT(ETH_RX_OFFLOAD_UDP_CKSUM);
CONSTANT(ETH_TX_OFFLOAD_IPV4_CKSUM);
CONSTANT(ETH_TX_OFFLOAD_MULTI_SEGS);
CONSTANT(ETH_TX_OFFLOAD_TCP_CKSUM);
CONSTANT(ETH_TX_OFFLOAD_TCP_TSO);
CONSTANT(ETH_TX_OFFLOAD_UDP_CKSUM);
CONSTANT(ETH_RSS_IP);
CONSTANT(ETH_RSS_TCP);
CONSTANT(ETH_RSS_UDP);
CONSTANT(MBUF_F_RX_IP_CKSUM_BAD);
CONSTANT(MBUF_F_RX_IP_CKSUM_GOOD);
CONSTANT(MBUF_F_RX_IP_CKSUM_MASK);
CONSTANT(MBUF_F_RX_L4_CKSUM_BAD);
CONSTANT(MBUF_F_RX_L4_CKSUM_GOOD);
CONSTANT(MBUF_F_RX_L4_CKSUM_MASK);
CONSTANT(MBUF_F_RX_RSS_HASH);
CONSTANT(MBUF_F_TX_IP_CKSUM);
CONSTANT(MBUF_F_TX_IPV4);
CONSTANT(MBUF_F_TX_IPV6);
CONSTANT(MBUF_F_TX_OFFLOAD_MASK);
CONSTANT(MBUF_F_TX_TCP_CKSUM);
CONSTANT(MBUF_F_TX_TCP_SEG);
CONSTANT(MBUF_F_TX_UDP_CKSUM);

CONSTANT(MBUF_L2_LEN_BITS);
CONSTANT(MBUF_L3_LEN_BITS);
CONSTANT(MBUF_L4_LEN_BITS);
CONSTANT(MBUF_TSO_SEGSZ_BITS);
