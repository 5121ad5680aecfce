#!/usr/bin/env bash
# Mesa's device-select layer for Vulkan: one of two equal GPUs by DRI_PRIME=pci-… and MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE=1.
# Guess: the GPU at that address is shown, as Mesa's documentation says, and an address that no GPU has is an error.
# Seen (Debian 12's libvulkan1 1.3.239; the layer of mesa-vulkan-drivers 22.3.6, Debian 12's own, and of 25.0.7, backports):
# 22.3.6 shows the last GPU that is not at the address, so that of two the other one is shown; it says nothing. 25.0.7 shows
# the one at the address, and with DRI_PRIME_DEBUG=1 says which it selected. Both show another GPU where no GPU has the
# address. So only a layer that says what it selects can be relied on.
# The GPUs are a Vulkan driver of a few lines, twice, with a PCI address each. Needs Debian 12, apt-get and cc.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
cat > gpu.c <<'C'
#include <stdint.h>
#include <string.h>
typedef void *Handle;
typedef void (*Function)(void);
struct Extension { char name[256]; uint32_t version; };
struct Chained { uint32_t type; struct Chained *next; };
struct PciBusInfo { uint32_t type; void *next; uint32_t domain, bus, device, function; };
/* The loader writes its table into the first word of both. */
static struct { uintptr_t magic; char rest[64]; } instance = { 0x01CDC0DE, "" }, gpu = { 0x01CDC0DE, "" };
static int create(const void *a, const void *b, Handle *out) { (void)a; (void)b; *out = &instance; return 0; }
static void destroy(Handle a, const void *b) { (void)a; (void)b; }
static int devices(Handle a, uint32_t *count, Handle *out) { (void)a; if (out && *count) out[0] = &gpu; *count = 1; return 0; }
static int instance_extensions(const char *a, uint32_t *count, void *out) { (void)a; (void)out; *count = 0; return 0; }
static int extensions(Handle a, const char *b, uint32_t *count, struct Extension *out) {
  (void)a; (void)b;
  if (out && *count) { memset(out, 0, sizeof *out); strcpy(out->name, "VK_EXT_pci_bus_info"); }
  *count = 1;
  return 0;
}
/* VkPhysicalDeviceProperties: versions and ids, type 2 (discrete), a name. */
static void properties(Handle a, uint32_t *out) {
  (void)a;
  memset(out, 0, 824);
  out[0] = (1u << 22) | (3u << 12); out[2] = 0x10de; out[3] = 0x2330; out[4] = 2;
  strcpy((char *)&out[5], NAME);
}
static void properties2(Handle a, struct Chained *out) {
  properties(a, (uint32_t *)((char *)out + 16));
  for (struct Chained *next = out->next; next; next = next->next)
    if (next->type == 1000212000u) {
      struct PciBusInfo *info = (struct PciBusInfo *)next;
      info->domain = 0; info->bus = BUS; info->device = 0; info->function = 0;
    }
}
static void nothing(void) {}
Function vk_icdGetInstanceProcAddr(Handle a, const char *name) {
  (void)a;
  if (!strcmp(name, "vkCreateInstance")) return (Function)create;
  if (!strcmp(name, "vkDestroyInstance")) return (Function)destroy;
  if (!strcmp(name, "vkEnumeratePhysicalDevices")) return (Function)devices;
  if (!strcmp(name, "vkEnumerateInstanceExtensionProperties")) return (Function)instance_extensions;
  if (!strcmp(name, "vkEnumerateDeviceExtensionProperties")) return (Function)extensions;
  if (!strcmp(name, "vkGetPhysicalDeviceProperties")) return (Function)properties;
  if (!strcmp(name, "vkGetPhysicalDeviceProperties2")) return (Function)properties2;
  if (!strncmp(name, "vkGetPhysicalDevice", 19) || !strcmp(name, "vkGetDeviceProcAddr") || !strcmp(name, "vkCreateDevice"))
    return nothing;
  return 0;
}
int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) { *version = 5; return 0; }
C
cat > show.c <<'C'
/* Prints the names of the GPUs that the loader shows. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
typedef void *Handle;
int main(void) {
  void *vulkan = dlopen("libvulkan.so.1", RTLD_NOW);
  int (*create)(const void *, const void *, Handle *) = dlsym(vulkan, "vkCreateInstance");
  int (*devices)(Handle, uint32_t *, Handle *) = dlsym(vulkan, "vkEnumeratePhysicalDevices");
  void (*properties)(Handle, uint32_t *) = dlsym(vulkan, "vkGetPhysicalDeviceProperties");
  struct { uint32_t type; void *next; const char *a; uint32_t b; const char *c; uint32_t d, api; } app = { 0, 0, 0, 0, 0, 0, (1u << 22) | (1u << 12) };
  struct { uint32_t type; void *next; uint32_t flags; void *app; uint32_t l; void *ll; uint32_t e; void *ee; } info = { 1, 0, 0, &app, 0, 0, 0, 0 };
  Handle instance, found[8];
  uint32_t count = 8, one[256];
  if (create(&info, 0, &instance) || devices(instance, &count, found)) return 1;
  for (uint32_t i = 0; i < count; i++) { properties(found[i], one); printf("%s%s", i ? " " : "", (char *)&one[5]); }
  printf("\n");
}
C
cc show.c -o show -ldl
for bus in 17 65; do
  cc -shared -fPIC -DBUS=0x$bus -DNAME="\"$bus\"" gpu.c -o gpu$bus.so
  echo "{\"file_format_version\":\"1.0.0\",\"ICD\":{\"library_path\":\"$work/gpu$bus.so\",\"api_version\":\"1.3.0\"}}" > gpu$bus.json
done
export VK_ICD_FILENAMES="$work/gpu17.json:$work/gpu65.json"
unset VK_DRIVER_FILES DISPLAY WAYLAND_DISPLAY DRI_PRIME MESA_VK_DEVICE_SELECT
layer() {
  mkdir "$1"
  (cd "$1" && apt-get -q download "mesa-vulkan-drivers=$2" >/dev/null 2>&1 && dpkg -x ./*.deb .)
  local so="$work/$1/usr/lib/$(uname -m)-linux-gnu/libVkLayer_MESA_device_select.so"
  sed -i "s#libVkLayer_MESA_device_select.so#$so#" "$1"/usr/share/vulkan/implicit_layer.d/VkLayer_MESA_device_select.json
}
layer old '22.3.6-1+deb12u*'
layer new '25.0.7-2~bpo12*'
shown() { XDG_DATA_DIRS="$work/$1/usr/share" DRI_PRIME=pci-0000_$2_00_0 MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE=1 ./show 2>/dev/null; }
seen="22.3.6: 17 gives $(shown old 17), 65 gives $(shown old 65), 99 gives $(shown old 99); 25.0.7: 17 gives $(shown new 17), 65 gives $(shown new 65), 99 gives $(shown new 99)"
said=$(XDG_DATA_DIRS="$work/new/usr/share" DRI_PRIME_DEBUG=1 DRI_PRIME=pci-0000_65_00_0 MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE=1 ./show 2>&1 | grep -c 'dri_prime_tag_default selected 1' || true)
echo "$seen; 25.0.7 said what it selected: $said"
expected='22.3.6: 17 gives 65, 65 gives 17, 99 gives 65; 25.0.7: 17 gives 17, 65 gives 65, 99 gives 17'
[[ $seen == "$expected" && $said -gt 0 ]] || { echo "changed: expected $expected" >&2; exit 1; }
