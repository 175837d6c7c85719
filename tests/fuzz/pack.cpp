// What is read of a pack before LibTorch is there: template, body, tables of neighbours, the denoiser's numbers.
#include "layeravatar/avatar/opened_pack.h"
#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    avatar::OpenedPack pack;
    pack.file = "f";
    pack.content = io::parse_safetensors(bytes, "f");
    (void)avatar::wide_denoiser(pack.content);
    const avatar::TemplateAndBody parts = avatar::read_template_and_body(pack);
    const avatar::NeighbourTables tables = avatar::neighbour_tables(parts.layers);
    const std::int64_t count = parts.layers.count();
    for (const auto* ids : {&tables.without_shoes.outer, &tables.without_shoes.skin, &tables.outer.outer, &tables.outer.neighbours})
      for (const std::int64_t id : *ids) fuzz::require(id >= 0 && id < count, "a neighbour that is none");
  });
}
