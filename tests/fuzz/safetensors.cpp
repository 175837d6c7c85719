// Packs and avatars: tensors, and the pack's settings in the metadata.
#include "layeravatar/io/safetensors.h"

#include "layeravatar/avatar/pack_config.h"
#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    const io::SafeTensors file = io::parse_safetensors(bytes, "f");
    std::size_t total = 0;
    for (const auto& [name, array] : file.tensors) total += array.data.size();
    fuzz::require(total <= bytes.size(), "more data than the file has");
    if (const auto config = file.metadata.find("config"); config != file.metadata.end())
      (void)avatar::PackConfig::from_json(config->second, "f");
  });
}
