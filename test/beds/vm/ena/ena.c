// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network devices whose driver is "ena" and whose counters user space sets, for
 * tests in virtual machines. See README.md.
 *
 * Names and order of the stats are those of Amazon's driver 2.17.0
 * (kernel/linux/ena/ena_ethtool.c of amzn-drivers).
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/platform_device.h>
#include <linux/rtnetlink.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#define MAX_SLOTS 32
#define MAX_TEXT (1 << 20)
#define QUEUES 2

static const char in_front[] =
	"total_resets reset_fail tx_timeout wd_expired admin_q_pause bad_tx_req_id bad_rx_req_id bad_rx_desc_num "
	"missing_intr suspected_poll_starvation missing_tx_cmpl rx_desc_malformed tx_desc_malformed invalid_state "
	"os_netdev_wd missing_admin_interrupt admin_to device_request_reset missing_first_intr suspend resume "
	"interface_down interface_up "
	"bw_in_allowance_exceeded bw_out_allowance_exceeded pps_allowance_exceeded conntrack_allowance_exceeded "
	"linklocal_allowance_exceeded conntrack_allowance_available "
	"ena_admin_q_aborted_cmd ena_admin_q_submitted_cmd ena_admin_q_completed_cmd ena_admin_q_out_of_space "
	"ena_admin_q_no_completion num_of_active_io_queues";
static const char of_tx[] =
	"tx_poll doorbells unmask_interrupt lost_interrupt cnt bytes queue_stop queue_wakeup dma_mapping_err linearize "
	"linearize_failed napi_comp prepare_ctx_err bad_req_id llq_buffer_copy missed_tx pending_timedout_pkts xsk_cnt "
	"xsk_bytes xsk_need_wakeup_set xsk_wakeup_request xdp_frags_exceeded xdp_short_linear_part";
static const char of_rx[] =
	"cnt bytes rx_copybreak_pkt csum_good refil_partial csum_bad page_alloc_fail skb_alloc_fail dma_mapping_err "
	"bad_desc_num bp_invocations_cnt bad_req_id empty_rx_ring csum_unchecked xdp_aborted xdp_drop xdp_pass xdp_tx "
	"xdp_invalid xdp_redirect pp_alloc_fast pp_alloc_slow pp_alloc_slow_hi_ord pp_alloc_empty pp_alloc_refill "
	"pp_alloc_waive pp_cached pp_cache_full pp_ring pp_ring_full pp_released_ref xsk_need_wakeup_set "
	"zc_queue_pkt_copy";

struct nic_stat {
	char name[ETH_GSTRING_LEN];
	u64 value;
};

/* A device. All of it but dir is guarded by the RTNL, which the ioctl holds. */
struct card {
	struct net_device *netdev;
	struct dentry *dir;
	int slot;
	char version[32];	/* as ETHTOOL_GDRVINFO gives it; the kernel's own if "" */
	struct nic_stat *stats;
	int n;
	bool stopped;		/* the admin queue */
	unsigned int delay;	/* of a reading, in ms */
};

static struct dentry *root;
static struct platform_device *slots[MAX_SLOTS];
static DEFINE_MUTEX(slots_lock);

static u64 *find(struct card *c, const char *name)
{
	int i;

	for (i = 0; i < c->n; i++)
		if (!strcmp(c->stats[i].name, name))
			return &c->stats[i].value;
	return NULL;
}

static void grow(struct card *c, const char *name, u64 n)
{
	u64 *value = find(c, name);

	if (value)
		*value += n;
}

/* Kept by the card, not by the driver: zeroed by a reset, unknown without an answer. */
static bool by_card(const char *name)
{
	return strstr(name, "_allowance_") || str_has_prefix(name, "ena_srd_");
}

static void add_names(struct card *c, const char *prefix, const char *list)
{
	while (*list) {
		int length = strcspn(list, " ");

		snprintf(c->stats[c->n++].name, ETH_GSTRING_LEN, "%s%.*s", prefix, length, list);
		list += length;
		list += strspn(list, " ");
	}
}

static int first_stats(struct card *c)
{
	char prefix[ETH_GSTRING_LEN];
	int q;

	c->stats = kvcalloc(512, sizeof(*c->stats), GFP_KERNEL);
	if (!c->stats)
		return -ENOMEM;
	add_names(c, "", in_front);
	for (q = 0; q < QUEUES; q++) {
		snprintf(prefix, sizeof(prefix), "queue_%d_tx_", q);
		add_names(c, prefix, of_tx);
		snprintf(prefix, sizeof(prefix), "queue_%d_rx_", q);
		add_names(c, prefix, of_rx);
	}
	grow(c, "num_of_active_io_queues", QUEUES);
	strscpy(c->version, "2.17.0g", sizeof(c->version));
	return 0;
}

/* The network device. */

static int card_open(struct net_device *netdev)
{
	grow(netdev_priv(netdev), "interface_up", 1);
	netif_carrier_on(netdev);
	netif_start_queue(netdev);
	return 0;
}

static int card_stop(struct net_device *netdev)
{
	grow(netdev_priv(netdev), "interface_down", 1);
	netif_stop_queue(netdev);
	netif_carrier_off(netdev);
	return 0;
}

static netdev_tx_t card_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops netdev_ops = {
	.ndo_open = card_open,
	.ndo_stop = card_stop,
	.ndo_start_xmit = card_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static void get_drvinfo(struct net_device *netdev, struct ethtool_drvinfo *info)
{
	struct card *c = netdev_priv(netdev);

	strscpy(info->driver, "ena", sizeof(info->driver));
	if (*c->version)
		strscpy(info->version, c->version, sizeof(info->version));
	snprintf(info->bus_info, sizeof(info->bus_info), "0000:00:%02x.0", c->slot);
}

static int get_sset_count(struct net_device *netdev, int set)
{
	return set == ETH_SS_STATS ? ((struct card *)netdev_priv(netdev))->n : -EOPNOTSUPP;
}

static void get_strings(struct net_device *netdev, u32 set, u8 *data)
{
	struct card *c = netdev_priv(netdev);
	int i;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < c->n; i++)
		memcpy(data + i * ETH_GSTRING_LEN, c->stats[i].name, ETH_GSTRING_LEN);
}

static void get_ethtool_stats(struct net_device *netdev, struct ethtool_stats *stats, u64 *data)
{
	struct card *c = netdev_priv(netdev);
	int i, commands = !!find(c, "bw_in_allowance_exceeded") + !!find(c, "ena_srd_mode");

	if (c->delay)
		msleep(c->delay);
	if (!c->stopped) {
		grow(c, "ena_admin_q_submitted_cmd", commands);
		grow(c, "ena_admin_q_completed_cmd", commands);
	}
	for (i = 0; i < c->n; i++)
		data[i] = c->stopped && by_card(c->stats[i].name) ? 0 : c->stats[i].value;
}

static const struct ethtool_ops ethtool_ops = {
	.get_drvinfo = get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_sset_count = get_sset_count,
	.get_strings = get_strings,
	.get_ethtool_stats = get_ethtool_stats,
};

/* What user space says. */

static int stats_show(struct seq_file *s, void *unused)
{
	struct card *c = s->private;
	int i;

	rtnl_lock();
	for (i = 0; i < c->n; i++)
		seq_printf(s, "%s %llu\n", c->stats[i].name, c->stats[i].value);
	rtnl_unlock();
	return 0;
}

static int stats_open(struct inode *inode, struct file *file)
{
	return single_open(file, stats_show, inode->i_private);
}

static char *text_from(const char __user *from, size_t size)
{
	return size > MAX_TEXT ? ERR_PTR(-E2BIG) : memdup_user_nul(from, size);
}

static ssize_t stats_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	struct card *c = ((struct seq_file *)file->private_data)->private;
	char *text = text_from(from, size), *next = text, *line;
	struct nic_stat *stats;
	int n = 0, rc = 0;

	if (IS_ERR(text))
		return PTR_ERR(text);
	stats = kvcalloc(size / 2 + 1, sizeof(*stats), GFP_KERNEL); /* a line has two characters or more */
	if (!stats) {
		kfree(text);
		return -ENOMEM;
	}
	while ((line = strsep(&next, "\n"))) {
		char *name = strsep(&line, " ");

		if (!*name)
			continue;
		if (!line || strlen(name) >= ETH_GSTRING_LEN || kstrtou64(line, 10, &stats[n].value)) {
			rc = -EINVAL;
			break;
		}
		strscpy(stats[n++].name, name, ETH_GSTRING_LEN);
	}
	if (!rc) {
		rtnl_lock();
		swap(c->stats, stats);
		c->n = n;
		rtnl_unlock();
	}
	kvfree(stats);
	kfree(text);
	return rc ? rc : size;
}

static const struct file_operations stats_file = {
	.owner = THIS_MODULE,
	.open = stats_open,
	.read = seq_read,
	.write = stats_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void reset(struct card *c, const char *cause)
{
	bool up = netif_running(c->netdev);
	int i;

	if (up)
		card_stop(c->netdev);
	for (i = 0; i < c->n; i++)
		if (by_card(c->stats[i].name) && strcmp(c->stats[i].name, "conntrack_allowance_available"))
			c->stats[i].value = 0;
	c->stopped = false;
	grow(c, "total_resets", 1);
	grow(c, cause, 1);
	if (up)
		card_open(c->netdev);
}

static int command(struct card *c, char *text)
{
	char *word = strsep(&text, " "), *name;
	u64 *value, n;

	if (!text)
		return -EINVAL;
	if (!strcmp(word, "version")) {
		if (!strcmp(text, "kernel")) /* which gives its own */
			text = "";
		strscpy(c->version, text, sizeof(c->version));
	} else if (!strcmp(word, "admin")) {
		if (strcmp(text, "running") && strcmp(text, "stopped"))
			return -EINVAL;
		c->stopped = !strcmp(text, "stopped");
	} else if (!strcmp(word, "delay")) {
		return kstrtouint(text, 10, &c->delay);
	} else if (!strcmp(word, "reset")) {
		if (!find(c, text))
			return -ENOENT;
		reset(c, text);
	} else if (!strcmp(word, "set") || !strcmp(word, "add")) {
		name = strsep(&text, " ");
		value = find(c, name);
		if (!value)
			return -ENOENT;
		if (!text || kstrtou64(text, 10, &n))
			return -EINVAL;
		*value = *word == 's' ? n : *value + n;
	} else {
		return -EINVAL;
	}
	return 0;
}

static ssize_t control_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char *text = text_from(from, size);
	int rc;

	if (IS_ERR(text))
		return PTR_ERR(text);
	rtnl_lock();
	rc = command(file->private_data, strim(text));
	rtnl_unlock();
	kfree(text);
	return rc ? rc : size;
}

static const struct file_operations control_file = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = control_write,
};

/* Devices come and go. */

static int card_probe(struct platform_device *pdev)
{
	struct net_device *netdev = alloc_etherdev(sizeof(struct card));
	u8 address[ETH_ALEN] = { 0x06, 0, 0, 0, 0, pdev->id };
	struct card *c;
	char name[8];
	int rc;

	if (!netdev)
		return -ENOMEM;
	c = netdev_priv(netdev);
	c->netdev = netdev;
	c->slot = pdev->id;
	rc = first_stats(c);
	if (rc)
		goto free;
	SET_NETDEV_DEV(netdev, &pdev->dev);
	netdev->netdev_ops = &netdev_ops;
	netdev->ethtool_ops = &ethtool_ops;
	snprintf(netdev->name, sizeof(netdev->name), "ens%d", c->slot);
	eth_hw_addr_set(netdev, address);
	netif_carrier_off(netdev);
	rc = register_netdev(netdev);
	if (rc)
		goto free;
	platform_set_drvdata(pdev, c);
	snprintf(name, sizeof(name), "%d", c->slot);
	c->dir = debugfs_create_dir(name, root);
	debugfs_create_file("stats", 0600, c->dir, c, &stats_file);
	debugfs_create_file("control", 0200, c->dir, c, &control_file);
	return 0;
free:
	kvfree(c->stats);
	free_netdev(netdev);
	return rc;
}

static void card_remove(struct platform_device *pdev)
{
	struct card *c = platform_get_drvdata(pdev);

	debugfs_remove_recursive(c->dir); /* waits for those who are in a file */
	unregister_netdev(c->netdev);
	kvfree(c->stats);
	free_netdev(c->netdev);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static int card_remove_int(struct platform_device *pdev)
{
	card_remove(pdev);
	return 0;
}
#define card_remove card_remove_int
#endif

static struct platform_driver driver = {
	.driver = { .name = "ena" },
	.probe = card_probe,
	.remove = card_remove,
};

static int attach(int slot)
{
	struct platform_device *pdev;

	if (slot < 0 || slot >= MAX_SLOTS || slots[slot])
		return -EINVAL;
	pdev = platform_device_register_simple("ena", slot, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	slots[slot] = pdev;
	return 0;
}

static int detach(int slot)
{
	if (slot < 0 || slot >= MAX_SLOTS || !slots[slot])
		return -EINVAL;
	platform_device_unregister(slots[slot]);
	slots[slot] = NULL;
	return 0;
}

static ssize_t slot_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	int (*change)(int slot) = file->private_data;
	int slot, rc = kstrtoint_from_user(from, size, 10, &slot);

	if (rc)
		return rc;
	mutex_lock(&slots_lock);
	rc = change(slot);
	mutex_unlock(&slots_lock);
	return rc ? rc : size;
}

static const struct file_operations slot_file = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = slot_write,
};

static int given[MAX_SLOTS];
static int n_given;
module_param_array_named(slots, given, int, &n_given, 0444);
MODULE_PARM_DESC(slots, "slots that have a device from the start: 5 is ens5");

static void unload(void)
{
	int slot;

	/* No file is open, or the module would not be unloaded. */
	for (slot = 0; slot < MAX_SLOTS; slot++)
		detach(slot);
	debugfs_remove_recursive(root);
	platform_driver_unregister(&driver);
}

static int __init load(void)
{
	int i, rc = platform_driver_register(&driver);

	if (rc)
		return rc;
	root = debugfs_create_dir("ena", NULL);
	debugfs_create_file("attach", 0200, root, attach, &slot_file);
	debugfs_create_file("detach", 0200, root, detach, &slot_file);
	for (i = 0; i < n_given && !rc; i++)
		rc = attach(given[i]);
	if (rc)
		unload();
	return rc;
}

module_init(load);
module_exit(unload);
MODULE_DESCRIPTION("Network devices whose driver is ena and whose counters user space sets");
MODULE_LICENSE("GPL");
