#include "layeravatar/produce/settler.h"

#include "layeravatar/avatar/settle_layers.h"

namespace layeravatar::produce {

Settler::Settler(const Studio& studio) : Settler(studio, studio.tables != nullptr ? *studio.tables : avatar::neighbour_tables(studio.deformer->layers())) {}

Settler::Settler(const Studio& studio, const avatar::NeighbourTables& tables)
    : studio_(studio), order_(tables.without_shoes),
      loose_(studio.deformer->layers(), tables.outer, [&studio](const torch::Tensor& points) { return studio.deformer->base_sizes(points); }) {}

torch::Tensor Settler::settle(const torch::Tensor& planes, const torch::Tensor& kept, double apart) const {
  return avatar::settle_layers(*studio_.decoder, *studio_.sampler, order_, loose_, planes, kept, apart);
}

}  // namespace layeravatar::produce
