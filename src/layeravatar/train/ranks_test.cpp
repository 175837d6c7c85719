#include "layeravatar/train/ranks.h"

#include <gtest/gtest.h>

#include <map>

#include "layeravatar/testing/folder.h"

namespace layeravatar::train {
namespace {

RankEnvironment of(const std::map<std::string, std::string>& variables) {
  return rank_environment([&](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  });
}

TEST(RankEnvironment, OfEachLauncher) {
  EXPECT_EQ(of({}).size, 1);
  const RankEnvironment torchrun = of({{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29400"},
                                       {"TORCHELASTIC_USE_AGENT_STORE", "True"}, {"TORCHELASTIC_RESTART_COUNT", "2"}});
  EXPECT_EQ(torchrun.rank, 3);
  EXPECT_EQ(torchrun.size, 4);
  EXPECT_EQ(torchrun.local_rank, 1);
  EXPECT_EQ(torchrun.address, "node0");
  EXPECT_EQ(torchrun.port, 29400);
  EXPECT_TRUE(torchrun.agent_store);
  EXPECT_EQ(torchrun.attempt, "2");
  const RankEnvironment mpi = of({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"MASTER_ADDR", "10.0.0.1"}});
  EXPECT_EQ(mpi.rank, 1);
  EXPECT_EQ(mpi.port, 29500);
  EXPECT_FALSE(mpi.agent_store);
  const RankEnvironment slurm = of({{"SLURM_PROCID", "5"}, {"SLURM_NTASKS", "8"}, {"SLURM_LOCALID", "1"}, {"SLURM_LAUNCH_NODE_IPADDR", "10.0.0.2"}});
  EXPECT_EQ(slurm.rank, 5);
  EXPECT_EQ(slurm.address, "10.0.0.2");
  EXPECT_EQ(of({{"SLURM_NTASKS", "8"}}).size, 1) << "a shell in an allocation";
}

TEST(RankEnvironment, WhatIsWrongIsNamed) {
  const auto message = [](const std::map<std::string, std::string>& variables) { return testing::message_of(ErrorKind::kConfig, [&] { of(variables); }); };
  EXPECT_EQ(message({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), "RANK = 2, must be in 0..1");
  EXPECT_EQ(message({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), "RANK = x, expected a number");
  EXPECT_EQ(message({{"WORLD_SIZE", "2"}}), "WORLD_SIZE = 2 without RANK");
  EXPECT_EQ(message({{"RANK", "0"}, {"WORLD_SIZE", "2"}}), "2 processes without MASTER_ADDR, the address of rank 0");
  EXPECT_EQ(message({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}), "MASTER_PORT = 70000, must be in 1..65535");
}

TEST(Shard, EveryScenesBelongsToOneRank) {
  for (const std::int64_t scenes : {5, 7, 487, 1954})
    for (const int size : {1, 2, 3, 4}) {
      std::int64_t next = 0;
      for (int r = 0; r < size; ++r) {
        const Shard shard = shard_of(scenes, r, size);
        EXPECT_EQ(shard.begin, next);
        next = shard.end;
      }
      EXPECT_EQ(next, scenes);
    }
  EXPECT_EQ(shard_of(5, 0, 2).end, 2) << "halves go to the even number";
  EXPECT_EQ(shard_of(7, 0, 2).end, 4);
}

}  // namespace
}  // namespace layeravatar::train
